// SPDX-License-Identifier: Apache-2.0

//! The steps of a deployment, from the boot message to the running workload.

mod failure;

pub use self::failure::{Failure, Stage};
