// SPDX-License-Identifier: Apache-2.0

//! COSE_Sign1 (RFC 9052), put together part by part so that any part can be wrong.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::EcdsaKeyPair;
pub use coset::cbor::value::Value;

use super::SiliconError;

/// CBOR of a value: definite lengths, shortest integers.
pub fn cbor(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing to memory does not fail.
    let _ = coset::cbor::into_writer(value, &mut out);
    out
}

/// CBOR of a map with these entries.
pub fn cbor_map(entries: &[(Value, Value)]) -> Vec<u8> {
    cbor(&Value::Map(entries.to_vec()))
}

/// Puts `value` in the place of what `key` has in a map, behind everything if it has nothing; without one, takes it out.
pub fn set(entries: &mut Vec<(Value, Value)>, key: impl Into<Value>, value: Option<Value>) {
    let key = key.into();
    let found = entries.iter().position(|(other, _)| *other == key);
    match (found, value) {
        (Some(at), Some(value)) => {
            if let Some(entry) = entries.get_mut(at) {
                entry.1 = value;
            }
        }
        (Some(at), None) => drop(entries.remove(at)),
        (None, Some(value)) => entries.push((key, value)),
        (None, None) => {}
    }
}

/// What is around a payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Whether the tag, 18, is there.
    pub tagged: bool,
    /// Protected header.
    pub protected: Vec<(Value, Value)>,
    /// Unprotected header.
    pub unprotected: Vec<(Value, Value)>,
}

impl Envelope {
    /// With this algorithm, protected.
    pub fn of(algorithm: i64, tagged: bool) -> Self {
        let protected = vec![(Value::from(1), Value::from(algorithm))];
        Self { tagged, protected, unprotected: Vec::new() }
    }

    /// Signs a payload.
    ///
    /// # Errors
    /// [`SiliconError::Crypto`].
    pub fn sign(&self, payload: &[u8], key: &EcdsaKeyPair) -> Result<Vec<u8>, SiliconError> {
        let protected = Value::Bytes(cbor_map(&self.protected));
        let payload = Value::Bytes(payload.to_vec());
        let signed = Value::Array(vec![
            Value::Text("Signature1".to_owned()),
            protected.clone(),
            Value::Bytes(Vec::new()),
            payload.clone(),
        ]);
        let signature =
            key.sign(&SystemRandom::new(), &cbor(&signed)).map_err(|_| SiliconError::Crypto)?;
        let message = Value::Array(vec![
            protected,
            Value::Map(self.unprotected.clone()),
            payload,
            Value::Bytes(signature.as_ref().to_vec()),
        ]);
        Ok(cbor(&if self.tagged { Value::Tag(18, Box::new(message)) } else { message }))
    }
}
