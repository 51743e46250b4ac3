// SPDX-License-Identifier: Apache-2.0

//! A private key that stays in a token: a hardware module, a card, or SoftHSM.
//!
//! A token may go away and come back: unplugged, restarted, out of reach. Meanwhile nothing is signed, and clients are told
//! to try again; attempts to reach it follow each other with growing pauses. A PIN that the token does not take is tried
//! once only: three wrong ones lock many a token for good.

mod module;
mod uri;

pub use uri::{Uri, UriError};

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chassis::secret;
use const_oid::ObjectIdentifier;
use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use der::asn1::{Any, OctetStringRef, Uint};
use der::{Decode as _, Encode as _};

use self::module::{Module, Ready};
use super::signer::{PublicKey, Suite};

/// Pause after a first failure; each further one doubles it.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Why a token does not sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenError {
    why: String,
    /// Whether trying again could do harm, or cannot help.
    lasting: bool,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for TokenError {}

impl TokenError {
    fn passing(why: impl Into<String>) -> Self {
        Self { why: why.into(), lasting: false }
    }

    pub(super) fn other(why: String) -> Self {
        Self::passing(why)
    }
}

impl From<Error> for TokenError {
    fn from(error: Error) -> Self {
        let lasting = matches!(
            error,
            Error::Pkcs11(
                RvError::PinIncorrect
                    | RvError::PinInvalid
                    | RvError::PinLenRange
                    | RvError::PinExpired
                    | RvError::PinLocked,
                _
            )
        );
        Self { why: error.to_string(), lasting }
    }
}

/// A failure that is not over yet.
struct Failing {
    error: TokenError,
    /// When the token may be tried again; never if none.
    next: Option<Instant>,
    pause: Duration,
}

/// A private key in a token.
pub(super) struct TokenKey {
    uri: Uri,
    /// Which of the module's sessions are this key's.
    number: u64,
    module: Arc<Module>,
    failing: Mutex<Option<Failing>>,
}

impl Drop for TokenKey {
    fn drop(&mut self) {
        self.module.forget(self.number);
    }
}

impl TokenKey {
    /// The key at `uri`, and its public key.
    pub(super) fn open(uri: &Uri) -> Result<(Self, PublicKey), TokenError> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let this = Self {
            uri: uri.clone(),
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            module: Module::at(&uri.module_path),
            failing: Mutex::new(None),
        };
        let public = this.run(|ready| public_key(&ready.session, ready.key))?;
        Ok((this, public))
    }

    /// Signs a digest; r and s, each of half the length.
    pub(super) fn sign(&self, digest: &[u8]) -> Result<Vec<u8>, TokenError> {
        self.run(|ready| Ok(ready.session.sign(&Mechanism::Ecdsa, ready.key, digest)?))
    }

    /// Does `work` in a session, unless an earlier failure is too recent.
    fn run<T>(&self, work: impl Fn(&Ready) -> Result<T, TokenError>) -> Result<T, TokenError> {
        let failing = || self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = failing().as_ref()
            && failure.next.is_none_or(|next| Instant::now() < next)
        {
            return Err(failure.error.clone());
        }
        match self.attempt(&work) {
            Ok(result) => {
                if failing().take().is_some() {
                    tracing::info!(key = %self.uri, "the token is back");
                }
                Ok(result)
            }
            Err(error) => {
                let mut failing = failing();
                let pause = failing.as_ref().map_or(PAUSE_MIN, |f| (f.pause * 2).min(PAUSE_MAX));
                // Said once, and once more if it becomes hopeless.
                if failing.as_ref().is_none_or(|f| error.lasting && !f.error.lasting) {
                    tracing::error!(key = %self.uri, %error, lasting = error.lasting, "the token does not sign");
                }
                let next = (!error.lasting).then(|| Instant::now() + pause);
                *failing = Some(Failing { error: error.clone(), next, pause });
                Err(error)
            }
        }
    }

    fn attempt<T>(&self, work: &impl Fn(&Ready) -> Result<T, TokenError>) -> Result<T, TokenError> {
        loop {
            let connect = |library: &Pkcs11| connect(library, &self.uri);
            match self.module.with(self.number, connect, work) {
                Ok(result) => return Ok(result),
                Err(failure) => {
                    if let Some(generation) = failure.generation {
                        self.module.renew(generation);
                    }
                    // What a session says that has waited may be old: a new one decides. There are not many.
                    if !failure.waited || failure.error.lasting {
                        return Err(failure.error);
                    }
                }
            }
        }
    }
}

/// An ECDSA signature as DER (RFC 3279 section 2.2.3), from r and s of `length` bytes each.
pub(super) fn to_der(pair: &[u8], length: usize) -> Option<Vec<u8>> {
    let (r, s) = pair.split_at_checked(length).filter(|(_, s)| s.len() == length)?;
    let uint = |bytes| Any::encode_from(&Uint::new(bytes).ok()?).ok();
    vec![uint(r)?, uint(s)?].to_der().ok()
}

fn connect(library: &Pkcs11, uri: &Uri) -> Result<Ready, TokenError> {
    let slot = slot(library, uri)?;
    let session = library.open_ro_session(slot)?;
    if let Some(path) = &uri.pin_source {
        let pin = secret::read(path).map_err(|error| TokenError::passing(error.to_string()))?;
        let text = std::str::from_utf8(pin.expose()).map_err(|_| {
            TokenError::passing(format!("the PIN in {} is no text", path.display()))
        })?;
        // Editors put a line end behind the last line.
        let pin = AuthPin::new(Box::from(text.trim_end_matches(['\r', '\n'])));
        match session.login(UserType::User, Some(&pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let key = find(&session, ObjectClass::PRIVATE_KEY, uri.object.as_deref(), uri.id.as_deref())?;
    Ok(Ready { session, key })
}

/// The slot whose token is meant.
fn slot(library: &Pkcs11, uri: &Uri) -> Result<Slot, TokenError> {
    let mut found = Vec::new();
    for slot in library.get_slots_with_initialized_token()? {
        let token = library.get_token_info(slot)?;
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found.trim_end())
        };
        if uri.slot_id.is_none_or(|id| id == slot.id())
            && is(&uri.token, token.label())
            && is(&uri.manufacturer, token.manufacturer_id())
            && is(&uri.model, token.model())
            && is(&uri.serial, token.serial_number())
        {
            found.push(slot);
        }
    }
    match found.as_slice() {
        [slot] => Ok(*slot),
        [] => Err(TokenError::passing(format!("{uri}: the token is not there"))),
        many => Err(TokenError::passing(format!(
            "{uri}: {} tokens are meant; name one of them",
            many.len()
        ))),
    }
}

/// The only EC key of this kind with this label and identifier.
fn find(
    session: &Session,
    class: ObjectClass,
    label: Option<&str>,
    id: Option<&[u8]>,
) -> Result<ObjectHandle, TokenError> {
    let mut template = vec![Attribute::Class(class), Attribute::KeyType(KeyType::EC)];
    template.extend(label.map(|label| Attribute::Label(label.as_bytes().to_vec())));
    template.extend(id.map(|id| Attribute::Id(id.to_vec())));
    match session.find_objects(&template)?.as_slice() {
        [key] => Ok(*key),
        [] => Err(TokenError::passing(format!("the token holds no such {class} for ECDSA"))),
        many => Err(TokenError::passing(format!(
            "the token holds {} such objects ({class})",
            many.len()
        ))),
    }
}

/// The public key beside a private one.
fn public_key(session: &Session, private: ObjectHandle) -> Result<PublicKey, TokenError> {
    let (mut label, mut id) = (None, None);
    for attribute in session.get_attributes(private, &[AttributeType::Label, AttributeType::Id])? {
        match attribute {
            Attribute::Label(bytes) => label = String::from_utf8(bytes).ok(),
            Attribute::Id(bytes) if !bytes.is_empty() => id = Some(bytes),
            _ => {}
        }
    }
    // The identifier is what ties the two together (PKCS#11 version 2.40, section 4.9); some tools leave it out.
    let label = label.filter(|_| id.is_none());
    let public = find(session, ObjectClass::PUBLIC_KEY, label.as_deref(), id.as_deref())?;
    let (mut curve, mut point) = (None, None);
    let wanted = [AttributeType::EcParams, AttributeType::EcPoint];
    for attribute in session.get_attributes(public, &wanted)? {
        match attribute {
            Attribute::EcParams(der) => curve = ObjectIdentifier::from_der(&der).ok(),
            // An OCTET STRING around the point; some tokens leave it out.
            Attribute::EcPoint(der) => {
                let inner =
                    <&OctetStringRef>::from_der(&der).map(|inner| inner.as_bytes().to_vec());
                point = Some(inner.unwrap_or(der));
            }
            _ => {}
        }
    }
    let suite = curve.and_then(Suite::of_curve);
    match (suite, point) {
        (Some(suite), Some(point)) => Ok(PublicKey { suite, point }),
        _ => Err(TokenError::passing("the key in the token is neither of P-256 nor of P-384")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_become_der() {
        let pair = [&[0, 0, 1][..], &[0x80, 0, 2]].concat();
        assert_eq!(to_der(&pair, 3).unwrap(), [0x30, 9, 2, 1, 1, 2, 4, 0, 0x80, 0, 2]);
        for length in [2, 4, 6, 7] {
            assert_eq!(to_der(&pair, length), None);
        }
    }

    #[test]
    fn a_library_that_is_not_there_is_said_and_pauses_grow() {
        let uri: Uri = "pkcs11:object=a?module-path=/nonexistent/token.so".parse().unwrap();
        let error = TokenKey::open(&uri).err().unwrap();
        assert!(error.to_string().contains("/nonexistent/token.so"), "{error}");
        assert!(!error.lasting);
    }
}
