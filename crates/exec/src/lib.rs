// SPDX-License-Identifier: Apache-2.0

//! The inside of a Keep: what runs a WebAssembly workload under an identity that its TEE attests.
//!
//! The host around this program is not trusted: not for the time, not for names or addresses, not for the bytes that it
//! hands over. See ARCHITECTURE.md for the flow.
//!
//! | module | what it does |
//! |---|---|
//! | [`deploy`] | the steps of a deployment, from the boot message to the running workload |
//! | [`identity`] | key, evidence, certification request, certificate |
//! | [`net`] | listeners and connections under the policy of `Enarx.toml`; TLS |
//! | [`runtime`] | compiles and runs the module |
//! | [`wasi`] | the system interface of the module |
//! | [`vfs`] | its files |
//! | [`hostlink`] | the link to the loader |

#![deny(unsafe_code)]

pub mod clock;
pub mod deploy;
pub mod hostlink;
pub mod identity;
pub mod net;
pub mod poll;
pub mod runtime;
pub mod sys;
pub mod vfs;
pub mod wasi;
