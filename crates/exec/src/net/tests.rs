// SPDX-License-Identifier: Apache-2.0

//! Listeners and connections over loopback.

mod plain;
