// SPDX-License-Identifier: Apache-2.0

//! Every limit of the system, in one table.
//!
//! Each constant says who can push it and what happens at the edge. Names end in their unit.

/// Longest slug. Pushed by the user and by certificates; a longer one does not parse.
pub const SLUG_BYTES_MAX: usize = 512;
/// Longest user or repository name. Pushed by registry users; a longer one does not parse.
pub const NAME_BYTES_MAX: usize = 64;
/// Longest tag. Pushed by registry users; a longer one does not parse.
pub const TAG_BYTES_MAX: usize = 128;
/// Longest name of a file or directory in a package.
pub const ENTRY_NAME_BYTES_MAX: usize = 255;
/// Deepest nesting of directories in a package.
pub const TREE_DEPTH_MAX: usize = 16;
/// Most entries of one directory of a package.
pub const DIRECTORY_ENTRIES_MAX: usize = 4096;
/// Largest serialised directory of a package.
pub const DIRECTORY_BYTES_MAX: usize = 1_000_000;
/// Largest file of a package, `main.wasm` included.
pub const FILE_BYTES_MAX: usize = 100_000_000;
/// Largest package, all files together.
pub const PACKAGE_BYTES_MAX: usize = 200_000_000;
/// Largest `Enarx.toml`.
pub const CONFIG_BYTES_MAX: usize = 1_000_000;
/// Most files of a package.
pub const PACKAGE_FILES_MAX: usize = 4096;

/// Largest certification request. Pushed by anybody who reaches Steward; answered with 413.
pub const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Most requests in one bundle. Pushed by anybody who reaches Steward; answered with 400.
pub const BUNDLE_REQUESTS_MAX: usize = 32;
/// Largest bundle of certification requests; answered with 413.
pub const BUNDLE_BYTES_MAX: usize = 512 * 1024;
/// Most nonces that a Steward remembers as used, for as long as they could serve again (100 MB at most). Pushed by Keeps with
/// good evidence; answered with 503.
pub const NONCES_USED_MAX: usize = 1 << 20;
/// Largest certificate that is parsed.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;
/// Largest certificate revocation list that is parsed.
pub const CRL_BYTES_MAX: usize = 256 * 1024;
/// Most certificate revocation lists in one piece of evidence.
pub const CRLS_MAX: usize = 8;
/// Largest TCB info or enclave identity of Intel. Pushed by whoever serves collateral; a larger one is refused.
pub const COLLATERAL_JSON_BYTES_MAX: usize = 256 * 1024;
/// Largest chain of certificates in PEM that comes with collateral, in a header or by itself.
pub const COLLATERAL_CHAIN_BYTES_MAX: usize = 48 * 1024;
/// Most files that are looked at in a cache of collateral.
pub const COLLATERAL_PIECES_MAX: usize = 4096;
/// Largest platform manifest that is registered with Intel.
pub const PLATFORM_MANIFEST_BYTES_MAX: usize = 128 * 1024;
/// Largest TCB info in a piece of evidence; the largest seen is 9 KiB.
pub const TCB_INFO_BYTES_MAX: usize = 32 * 1024;
/// Largest QE identity in a piece of evidence; the largest seen is 1.4 KiB.
pub const QE_IDENTITY_BYTES_MAX: usize = 8 * 1024;
/// Largest quote of Intel's; the largest seen is 8000 bytes, padding included.
pub const QUOTE_BYTES_MAX: usize = 16 * 1024;
/// Signatures of certificates, lists and vendors' documents that Steward remembers at least; at most twice as many, some 64
/// bytes each. Pushed by anybody who has genuine ones; beyond it they are checked again.
pub const ENDORSEMENTS_REMEMBERED: usize = 16 * 1024;
/// Largest set of claims (docs/FORMATS.md 3.1).
pub const CLAIMS_BYTES_MAX: usize = 8 * 1024;
/// Largest tag statement (docs/FORMATS.md 2.3).
pub const STATEMENT_BYTES_MAX: usize = 2 * 1024;
/// Largest attestation document of AWS Nitro Enclaves. Pushed by anybody who reaches Steward, as all of evidence; refused.
pub const NITRO_DOCUMENT_BYTES_MAX: usize = 16 * 1024;
/// Most certificates above the one that signed a document. AWS sends four.
pub const NITRO_BUNDLE_MAX: usize = 8;
/// Largest certificate of a document; AWS's own limit.
pub const NITRO_CERTIFICATE_BYTES_MAX: usize = 1024;
/// Largest public key, user data and nonce of a document; AWS's own limit.
pub const NITRO_FIELD_BYTES_MAX: usize = 1024;
/// Registers of a document, from 0 on.
pub const NITRO_PCRS_MAX: usize = 32;
/// Largest token of Arm CCA. Pushed as documents of Nitro are; refused.
pub const CCA_TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Most claims of a token and most entries of a software component, unknown ones included.
pub const CCA_CLAIMS_MAX: usize = 64;
/// Most software components of a platform.
pub const CCA_COMPONENTS_MAX: usize = 64;
/// Longest text in a token.
pub const CCA_TEXT_BYTES_MAX: usize = 512;
/// Largest configuration of a platform.
pub const CCA_CONFIG_BYTES_MAX: usize = 1024;
/// Largest public key of a realm.
pub const CCA_KEY_BYTES_MAX: usize = 512;
/// Largest answer of `get_attestation`.
pub const ATTESTATION_BYTES_MAX: usize = 64 * 1024;
/// Largest attestation-result extension.
pub const RESULT_BYTES_MAX: usize = 8 * 1024;
/// Largest policy file of Steward.
pub const POLICY_BYTES_MAX: usize = 1_000_000;
/// Longest chain of certificates taken from a peer or from Steward.
pub const CHAIN_CERTIFICATES_MAX: usize = 8;
/// Largest chain answered by Steward (DER PkiPath).
pub const CHAIN_BYTES_MAX: usize = 128 * 1024;

/// Longest URI of a key in a token. Pushed by the operator; a longer one does not parse.
pub const PKCS11_URI_BYTES_MAX: usize = 4096;
/// Longest entry of the issuance log; a longer one is not written, and not read.
pub const LOG_ENTRY_BYTES_MAX: usize = 64 * 1024;
/// Size at which the issuance log begins a new file.
pub const LOG_FILE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes after which nothing more joins the entries that go to the disk together.
pub const LOG_BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Largest JSON document of a registry (user, repository, tag, deployment).
pub const JSON_BYTES_MAX: usize = 64 * 1024;
/// Largest blob of a registry, uploaded in one piece or several. Pushed by registry users; answered with 413.
pub const BLOB_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Most chunks of one upload. Pushed by registry users; answered with 413, whereupon larger chunks help.
pub const UPLOAD_CHUNKS_MAX: usize = 1000;
/// How long an upload may go on, in seconds; then it is forgotten.
pub const UPLOAD_SECONDS_MAX: u64 = 24 * 3600;
/// Largest OCI manifest or index. Pushed by registry users; answered with 413.
pub const OCI_MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most layers of an OCI manifest, and most manifests of an index; more are refused with 400.
pub const OCI_DESCRIPTORS_MAX: usize = 4096;
/// Longest media type or artifact type in an OCI manifest.
pub const OCI_TYPE_BYTES_MAX: usize = 255;
/// Most annotations of an OCI manifest itself; more are refused with 400.
pub const OCI_ANNOTATIONS_MAX: usize = 1000;
/// Most bytes of the annotations of an OCI manifest that refers to another; more are refused with 400.
pub const OCI_REFERRER_BYTES_MAX: usize = 16 * 1024;
/// Most manifests that refer to one other; the next is refused with 403.
pub const OCI_REFERRERS_MAX: usize = 1000;
/// Most referrers in one answer; the next ones are behind a link.
pub const OCI_REFERRERS_PAGE: usize = 100;
/// Most tags listed at once.
pub const TAGS_MAX: usize = 10_000;
/// Most keys of an owner that sign versions.
pub const OWNER_KEYS_MAX: usize = 32;
/// Largest signature of an owner on a version, with what it says, in bytes.
pub const SIGNATURE_BYTES_MAX: usize = 4 * 1024;
/// Most signatures of owners on a version.
pub const SIGNATURES_MAX: usize = 8;
/// Largest tag that its author signed, in bytes.
pub const JOSE_BYTES_MAX: usize = 16 * 1024;
/// Longest reason for which a version is yanked, in bytes.
pub const YANK_REASON_BYTES_MAX: usize = 512;
/// Items on a page of a list, if the client does not say; by the Drawbridge API, and of all repositories by OCI.
pub const LIST_PAGE: usize = 100;
/// Most items on a page; more are refused with 400.
pub const LIST_PAGE_MAX: usize = 1000;
/// Most pages that a client asks for to fill one list of its own.
pub const LIST_PAGES_MAX: usize = 1000;
/// Names that one request for repositories looks through; then the client goes on behind a link.
pub const LIST_NAMES_MAX: usize = 10_000;
/// Repositories that one request looks at more closely: whether the client may see them.
pub const LIST_REPOS_MAX: usize = 2000;
/// Tags that one request for repositories counts, before it ends the page early.
pub const LIST_TAGS_MAX: usize = 10_000;
/// Longest text that repositories are searched for; a longer one is refused with 400.
pub const SEARCH_BYTES_MAX: usize = 256;
/// Rows of a web page with a list; the next ones are behind a link.
pub const WEB_ROWS: usize = 50;
/// Largest file whose text a web page shows, in bytes; larger ones are only offered for saving.
pub const WEB_TEXT_BYTES_MAX: u64 = 64 * 1024;
/// Longest bearer token.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// Most users that an organisation or a repository names; more are refused with 400.
pub const MEMBERS_MAX: usize = 500;
/// Most teams of an organisation; more are refused with 400.
pub const TEAMS_MAX: usize = 50;
/// Most rules by which other issuers' tokens publish, of a repository or an owner; more are refused with 400.
pub const PUBLISHERS_MAX: usize = 20;
/// Most claims in one of these rules.
pub const CLAIM_RULES_MAX: usize = 16;
/// Longest name or value in one of these rules.
pub const CLAIM_BYTES_MAX: usize = 1024;
/// Most tokens of an owner at a time; the next is refused with 403.
pub const TOKENS_MAX: usize = 100;
/// Most repositories that a token names; more are refused with 400.
pub const TOKEN_REPOS_MAX: usize = 100;
/// Longest life of a registry's own token, in seconds: a year and a day.
pub const TOKEN_SECONDS_MAX: u64 = 366 * 86_400;
/// Largest release policy of a repository (docs/FORMATS.md 2.8); answered with 413.
pub const RELEASE_POLICY_BYTES_MAX: usize = 32 * 1024;
/// Most rules of a release policy, and most values of one of its keys.
pub const RELEASE_RULES_MAX: usize = 64;
/// Most versions of a release policy; then no further is taken.
pub const RELEASE_POLICIES_MAX: usize = 1000;

/// Longest URL taken from an OpenID issuer; a longer one is refused.
pub const OIDC_URL_BYTES_MAX: usize = 2048;
/// Most characters shown of what an OpenID issuer says; the rest is cut off.
pub const OIDC_TEXT_CHARS_MAX: usize = 300;
/// Largest head of a request of the browser that comes back from an OpenID issuer. Pushed by any program on this machine; such a
/// connection is closed.
pub const LOGIN_REQUEST_BYTES_MAX: usize = 8 * 1024;
/// Most connections that wait at a time while one logs in by a browser; the oldest is closed.
pub const LOGIN_CONNECTIONS_MAX: usize = 8;
/// Most connections taken in all while one logs in by a browser; one more ends it.
pub const LOGIN_CONNECTIONS_TAKEN_MAX: usize = 256;
/// Longest time that a person may take to log in, in seconds.
pub const LOGIN_SECONDS_MAX: u64 = 1_800;

/// Largest frame of JSON between loader and Keep (see [`crate::hostlink`]).
pub const HOSTLINK_FRAME_BYTES_MAX: usize = 1024 * 1024;
/// Longest host name that a Keep asks the loader to resolve.
pub const HOST_NAME_BYTES_MAX: usize = 255;
/// Most addresses taken for one name.
pub const ADDRESSES_MAX: usize = 16;

/// Most connections at a time that a user can let `enarx proxy` take.
pub const PROXY_CONNECTIONS_MAX: usize = 4096;
/// Most application protocols (ALPN) that one side of a TLS connection names.
pub const ALPN_PROTOCOLS_MAX: usize = 8;

/// Longest path that a workload may name; a longer one is `ENAMETOOLONG`.
pub const GUEST_PATH_BYTES_MAX: usize = 4096;
/// Deepest directory that a workload may create; a deeper one is `ENAMETOOLONG`.
pub const GUEST_DEPTH_MAX: usize = 64;
/// Most buffers of one read or write of a workload; more are `EINVAL`.
pub const GUEST_BUFFERS_MAX: usize = 1024;
/// Most events that a workload may wait for at once; more are `EINVAL`.
pub const GUEST_SUBSCRIPTIONS_MAX: usize = 16_384;
/// Largest stack of WebAssembly code; deeper recursion is a trap.
pub const GUEST_STACK_BYTES_MAX: usize = 1024 * 1024;
