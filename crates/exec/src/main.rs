// SPDX-License-Identifier: Apache-2.0

//! The program that runs inside of a Keep. Started by `enarx`, never by hand.

#![deny(unsafe_code)]

fn main() {}
