// SPDX-License-Identifier: Apache-2.0

//! Collateral: what the vendors publish about their silicon, and without which evidence proves nothing: certificates of
//! chips and of those who sign for them, revocation lists, TCB infos.
//!
//! The host gets it and keeps it; it is trusted for availability only. So everything is bounded and authenticated before it
//! enters the cache, a source that fails or lies never harms what is there already, and who relies on collateral checks it
//! again.
//!
//! | module | of what |
//! |---|---|
//! | [`piece`] | the pieces |
//! | [`recognise`] | telling pieces by their contents |
//! | [`authentic`] | signatures up to the vendor's root |
//! | [`fetch`] | HTTPS, patiently |
//! | [`kds`], [`pcs`] | the vendors' services |
//! | [`cache`] | the directory |
//! | [`standing`] | whether a piece is revoked, or no longer signed by who is there |
//! | [`collect`] | when to ask, what to keep |

pub mod authentic;
pub mod cache;
pub mod collect;
pub mod fetch;
pub mod kds;
pub mod pcs;
pub mod piece;
pub mod recognise;
pub mod standing;
mod x509;
