// SPDX-License-Identifier: Apache-2.0

//! Intel SGX and TDX: quotes, the collateral that judges them, and their verification.

mod collateral;

pub(crate) use collateral::decode_legacy;
pub use collateral::{Collateral, NotCollateral};
