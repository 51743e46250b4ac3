// SPDX-License-Identifier: Apache-2.0

//! What the platform's token claims.

use minicbor::Decoder;
use types::limits::{CCA_CLAIMS_MAX, CCA_COMPONENTS_MAX, CCA_CONFIG_BYTES_MAX, CCA_TEXT_BYTES_MAX};

use super::realm::HashAlgorithm;
use crate::cose::{self, Label, Malformed, malformed};

/// Profiles of platform tokens that are known.
const PROFILES: [&str; 2] = ["http://arm.com/CCA-SSD/1.0.0", "tag:arm.com,2023:cca_platform#1.0.0"];

/// Labels of claims.
const CHALLENGE: i64 = 10;
const INSTANCE_ID: i64 = 256;
const PROFILE: i64 = 265;
const LIFECYCLE: i64 = 2395;
const IMPLEMENTATION_ID: i64 = 2396;
const COMPONENTS: i64 = 2399;
const SERVICE: i64 = 2400;
const CONFIG: i64 = 2401;
const HASH_ALGORITHM: i64 = 2402;

/// First byte of an instance's identity.
const INSTANCE_TYPE: u8 = 1;

/// State of a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifecycle {
    /// Not known.
    Unknown,
    /// Still being made.
    AssemblyAndTest,
    /// Its root of trust is being provisioned.
    Provisioning,
    /// As it should be.
    Secured,
    /// Debugged, outside of its root of trust.
    NonPlatformDebug,
    /// Its root of trust is debugged.
    RecoverableDebug,
    /// Out of use.
    Decommissioned,
}

impl Lifecycle {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Unknown,
        Self::AssemblyAndTest,
        Self::Provisioning,
        Self::Secured,
        Self::NonPlatformDebug,
        Self::RecoverableDebug,
        Self::Decommissioned,
    ];

    /// The name in policies and certificates.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::AssemblyAndTest => "assembly-and-test",
            Self::Provisioning => "provisioning",
            Self::Secured => "secured",
            Self::NonPlatformDebug => "non-platform-debug",
            Self::RecoverableDebug => "recoverable-debug",
            Self::Decommissioned => "decommissioned",
        }
    }

    /// Of the claim's value; the lower eight bits are the implementation's.
    fn of(value: u16) -> Option<Self> {
        let state = value >> 8;
        let index = usize::from(state >> 4);
        Self::ALL.get(index).copied().filter(|_| state.trailing_zeros() >= 4)
    }
}

/// Software that the platform measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component<'a> {
    /// Its role, as `RMM`.
    pub name: Option<&'a str>,
    /// 32, 48 or 64 bytes.
    pub measurement: &'a [u8],
    /// Its version, in its maker's words.
    pub version: Option<&'a str>,
    /// Hash of the key that signed it, 32, 48 or 64 bytes.
    pub signer: &'a [u8],
}

/// The claims of a platform's token. Those that are not known are passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformClaims<'a> {
    /// Hash of the realm's key.
    pub challenge: &'a [u8],
    /// What kind of platform it is.
    pub implementation_id: [u8; 32],
    /// Which platform it is: its key's identity.
    pub instance_id: [u8; 33],
    /// Its state.
    pub lifecycle: Lifecycle,
    /// Its software.
    pub components: Vec<Component<'a>>,
}

#[derive(Default)]
struct Fields<'a> {
    profile: Option<&'a str>,
    challenge: Option<&'a [u8]>,
    implementation_id: Option<&'a [u8]>,
    instance_id: Option<&'a [u8]>,
    lifecycle: Option<u16>,
    components: Option<Vec<Component<'a>>>,
    hash_algorithm: Option<HashAlgorithm>,
    config: Option<&'a [u8]>,
}

impl<'a> PlatformClaims<'a> {
    /// Reads the payload of a platform's token.
    ///
    /// # Errors
    /// Anything that is not as the specification has it; a profile that is not known.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut d = Decoder::new(payload);
        let mut fields = Fields::default();
        cose::map(&mut d, CCA_CLAIMS_MAX, false, |d| fields.entry(d))?;
        cose::finish(&d)?;
        let profile = required(fields.profile, "profile")?;
        if !PROFILES.contains(&profile) {
            let profile = profile.escape_debug();
            return malformed(format!("its platform's profile is unknown: \"{profile}\""));
        }
        required(fields.hash_algorithm, "hash algorithm")?;
        required(fields.config, "configuration")?;
        let instance_id = required(fields.instance_id, "instance")?;
        let lifecycle = required(fields.lifecycle, "life cycle")?;
        match (<[u8; 33]>::try_from(instance_id), Lifecycle::of(lifecycle)) {
            (Ok(instance_id @ [INSTANCE_TYPE, ..]), Some(lifecycle)) => Ok(Self {
                challenge: required(fields.challenge, "challenge")?,
                implementation_id: required(fields.implementation_id, "implementation")?
                    .try_into()
                    .map_err(|_| Malformed("its implementation has not 32 bytes".to_owned()))?,
                instance_id,
                lifecycle,
                components: required(fields.components, "software components")?,
            }),
            (_, None) => malformed(format!("there is no life cycle {lifecycle:#x}")),
            _ => malformed("its instance is not 33 bytes that begin with 1"),
        }
    }
}

fn required<T>(field: Option<T>, name: &str) -> Result<T, Malformed> {
    field.ok_or_else(|| Malformed(format!("its platform's token has no {name}")))
}

impl<'a> Fields<'a> {
    fn entry(&mut self, d: &mut Decoder<'a>) -> Result<Label<'a>, Malformed> {
        let label = cose::label(d)?;
        match label {
            Label::Number(PROFILE) => self.profile = Some(d.str()?),
            Label::Number(CHALLENGE) => self.challenge = Some(cose::hash(d)?),
            Label::Number(IMPLEMENTATION_ID) => self.implementation_id = Some(d.bytes()?),
            Label::Number(INSTANCE_ID) => self.instance_id = Some(d.bytes()?),
            Label::Number(LIFECYCLE) => self.lifecycle = Some(d.u16()?),
            Label::Number(HASH_ALGORITHM) => self.hash_algorithm = Some(HashAlgorithm::read(d)?),
            Label::Number(CONFIG) => self.config = Some(cose::bytes(d, 0..=CCA_CONFIG_BYTES_MAX)?),
            Label::Number(SERVICE) => drop(text(d)?),
            Label::Number(COMPONENTS) => {
                self.components = Some(cose::array(d, 1..=CCA_COMPONENTS_MAX, component)?);
            }
            _ => d.skip()?,
        }
        Ok(label)
    }
}

fn text<'a>(d: &mut Decoder<'a>) -> Result<&'a str, Malformed> {
    let text = d.str()?;
    if text.len() > CCA_TEXT_BYTES_MAX { malformed("a text is too long") } else { Ok(text) }
}

fn component<'a>(d: &mut Decoder<'a>) -> Result<Component<'a>, Malformed> {
    let (mut name, mut measurement, mut version, mut signer) = (None, None, None, None);
    cose::map(d, CCA_CLAIMS_MAX, false, |d| {
        let label = cose::label(d)?;
        match label {
            Label::Number(1) => name = Some(text(d)?),
            Label::Number(2) => measurement = Some(cose::hash(d)?),
            Label::Number(4) => version = Some(text(d)?),
            Label::Number(5) => signer = Some(cose::hash(d)?),
            Label::Number(6) => drop(text(d)?),
            _ => d.skip()?,
        }
        Ok(label)
    })?;
    match (measurement, signer) {
        (Some(measurement), Some(signer)) => Ok(Component { name, measurement, version, signer }),
        _ => malformed("a software component has no measurement or no signer"),
    }
}
