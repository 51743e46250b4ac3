// SPDX-License-Identifier: Apache-2.0

//! Appraisal from outside: real evidence with known verdicts, and simulated silicon for everything that real one never does.

mod real;
