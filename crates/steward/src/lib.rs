// SPDX-License-Identifier: Apache-2.0

//! Steward: the certificate authority that signs for what a CPU attests to.
//!
//! It appraises evidence under a policy that anybody can read, and issues a short-lived certificate that says what was
//! attested, how good it is and under which policy that was judged (docs/FORMATS.md section 4). A decision depends on
//! the request, the policy, the roots and the time, on nothing else.
//!
//! | module | what it does |
//! |---|---|
//! | [`authority`] | the CA's certificate and key; making a new one |
//! | [`policies`] | the policy in force, those before it, reading a new one |
//! | [`roots`] | whose silicon is believed |
//! | [`issuer`] | from a request to a certificate, or to a refusal |
//! | [`certificate`], [`lint`] | writing the certificate, and reading it again before it leaves |
//! | [`published`] | certificates and revocation lists of the issuers, for anybody |
//! | [`nonce`] | what makes evidence fresh |
//! | [`log`] | recording certificates before they leave |
//! | [`audit`], [`metrics`] | writing decisions down, and counting them |
//! | [`recorded`] | evidence on disk, for trying a policy |
//! | [`http`] | the interface |
//! | [`cli`] | the program |

#![forbid(unsafe_code)]

pub mod audit;
pub mod authority;
pub mod certificate;
pub mod cli;
pub mod http;
pub mod issuer;
pub mod lint;
pub mod log;
pub mod metrics;
pub mod nonce;
pub mod policies;
pub mod published;
pub mod recorded;
pub mod roots;

mod x509;
