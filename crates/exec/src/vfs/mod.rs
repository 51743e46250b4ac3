// SPDX-License-Identifier: Apache-2.0

//! The file system of a workload: one tree, in which everything that it can reach has a name.
//!
//! | path | what is there |
//! |---|---|
//! | `/` | the files of the package, read-only |
//! | `/tmp` | files in memory, gone at the end; they count against the memory limit |
//! | `/dev/null`, `/dev/zero`, `/dev/urandom` | what the names say |
//! | `/net/con/<host[:port]>` | opening it connects |
//! | `/net/lis/<port>` | opening it listens |
//! | `/net/peer/<fd>` | who is at the other end of connection `<fd>`: one line of JSON (docs/FORMATS.md 5) |

mod budget;
mod descriptor;
mod file;
mod node;
mod path;
mod socket;
mod tree;

pub use self::budget::Budget;
pub(crate) use self::descriptor::{Descriptor, HostEnd, Object, Preopen, Table};
pub(crate) use self::node::{Device, Kind, Node, Sockets, Times};
pub(crate) use self::path::{Entry, Place, resolve};
pub(crate) use self::socket::Opener;
#[cfg(test)]
pub(crate) use self::socket::{Acceptor, Stream};
pub(crate) use self::tree::{
    build, create_directory, create_file, link, remove_directory, rename, unlink,
};
