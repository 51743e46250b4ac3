// SPDX-License-Identifier: Apache-2.0

//! What lies below HTTP: TLS, or nothing.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use crate::tls::ServerTls;

/// What a service speaks below HTTP.
#[derive(Clone, Debug)]
pub enum Transport {
    /// TLS by this certificate.
    Tls(ServerTls),
    /// Nothing: for a proxy on the same machine that speaks TLS. Served on loopback addresses only.
    Plain,
}

impl Transport {
    /// Plain HTTP at `addr`.
    ///
    /// # Errors
    /// The address is not one of this machine alone.
    pub fn plain(addr: SocketAddr) -> Result<Self, NotLoopback> {
        loopback(addr)?;
        Ok(Self::Plain)
    }

    /// New connections use the other's TLS configuration from now on.
    pub fn replace(&self, other: &Self) {
        if let (Self::Tls(current), Self::Tls(new)) = (self, other) {
            current.replace(new);
        }
    }

    /// `https` or `http`.
    pub const fn scheme(&self) -> &'static str {
        match self {
            Self::Tls(_) => "https",
            Self::Plain => "http",
        }
    }
}

impl From<ServerTls> for Transport {
    fn from(tls: ServerTls) -> Self {
        Self::Tls(tls)
    }
}

/// Plain HTTP was asked for where others could listen in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLoopback(pub SocketAddr);

impl fmt::Display for NotLoopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not a loopback address, and plain HTTP leaves no other: listen on 127.0.0.1 or [::1], or use TLS",
            self.0
        )
    }
}

impl std::error::Error for NotLoopback {}

/// Why a command line does not say how to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// Plain HTTP where others could listen in.
    NotLoopback(NotLoopback),
    /// `--plain` together with `--tls-cert` or `--tls-key`.
    Both,
    /// This option is missing.
    Missing(&'static str),
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoopback(error) => error.fmt(f),
            Self::Both => f.write_str(
                "--plain contradicts --tls-cert and --tls-key: give the two for TLS, or --plain behind a proxy",
            ),
            Self::Missing(option) => write!(
                f,
                "{option} is missing: give --tls-cert FILE and --tls-key FILE, or --plain behind a proxy on this machine that speaks TLS"
            ),
        }
    }
}

impl std::error::Error for TransportError {}

/// What a command line with `--tls-cert`, `--tls-key` and `--plain` means for a listener at `addr`: the files of the
/// certificate chain and of the key, or none for plain HTTP.
///
/// # Errors
/// See [`TransportError`].
pub fn tls_files<'a>(
    addr: SocketAddr,
    plain: bool,
    cert: Option<&'a Path>,
    key: Option<&'a Path>,
) -> Result<Option<(&'a Path, &'a Path)>, TransportError> {
    match (plain, cert, key) {
        (true, None, None) => {
            loopback(addr).map_err(TransportError::NotLoopback)?;
            Ok(None)
        }
        (true, ..) => Err(TransportError::Both),
        (false, Some(cert), Some(key)) => Ok(Some((cert, key))),
        (false, None, _) => Err(TransportError::Missing("--tls-cert")),
        (false, _, None) => Err(TransportError::Missing("--tls-key")),
    }
}

pub(crate) fn loopback(addr: SocketAddr) -> Result<(), NotLoopback> {
    if addr.ip().is_loopback() { Ok(()) } else { Err(NotLoopback(addr)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for addr in ["127.0.0.1:1", "127.8.8.8:1", "[::1]:1"] {
            assert!(Transport::plain(addr.parse().unwrap()).is_ok(), "{addr}");
        }
        for addr in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1"] {
            let error = Transport::plain(addr.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains("127.0.0.1"), "{error}");
        }
    }

    #[test]
    fn a_command_line_says_one_thing() {
        let here = "127.0.0.1:1".parse().unwrap();
        let (cert, key) = (Some(Path::new("c")), Some(Path::new("k")));
        let files = (Path::new("c"), Path::new("k"));
        assert_eq!(tls_files(here, false, cert, key), Ok(Some(files)));
        assert_eq!(tls_files("[::]:1".parse().unwrap(), false, cert, key), Ok(Some(files)));
        assert_eq!(tls_files(here, true, None, None), Ok(None));
        for (cert, key) in [(cert, key), (cert, None), (None, key)] {
            assert_eq!(tls_files(here, true, cert, key), Err(TransportError::Both));
        }
        let missing = TransportError::Missing;
        assert_eq!(tls_files(here, false, None, key), Err(missing("--tls-cert")));
        assert_eq!(tls_files(here, false, None, None), Err(missing("--tls-cert")));
        assert_eq!(tls_files(here, false, cert, None), Err(missing("--tls-key")));
        let public = tls_files("[::]:1".parse().unwrap(), true, None, None);
        assert!(matches!(public, Err(TransportError::NotLoopback(_))));
    }
}
