// SPDX-License-Identifier: Apache-2.0

//! Steward: the certificate authority that signs for what a CPU attests to.
//!
//! It appraises evidence under a policy that anybody can read, and issues a short-lived certificate that says what was
//! attested, how good it is and under which policy that was judged (docs/FORMATS.md section 4). A decision depends on
//! the request, the policy, the roots and the time, on nothing else.

#![forbid(unsafe_code)]

pub mod authority;
pub mod certificate;
pub mod lint;

mod x509;
