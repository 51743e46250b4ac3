// SPDX-License-Identifier: Apache-2.0

//! From text to [`Config`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

use super::{
    ClientAuth, Config, ConfigError, DESCRIPTORS_MAX, FileEntry, HostPort, Incoming, IncomingRule,
    Limits, MEMORY_BYTES_MAX, MEMORY_BYTES_MIN, Network, Outgoing, OutgoingRule, OutgoingTrust,
    PeerRule, Protocol, Stdio, TEES, Trust, is_alpn, is_measurement,
};
use crate::limits::{ALPN_PROTOCOLS_MAX, CONFIG_BYTES_MAX};
use crate::slug;
use crate::toml_error::{Document, Fields, Value};

const ROOT_KEYS: &[&str] =
    &["steward", "args", "env", "files", "stdin", "stdout", "stderr", "network", "trust", "limits"];
const SET_BY_THE_KEEP: &[&str] = &["FD_COUNT", "FD_NAMES"];

impl Config {
    /// Reads an `Enarx.toml`.
    ///
    /// # Errors
    /// Text that is no TOML; a key that does not exist; a value that makes no sense, by itself or beside the others.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if text.len() > CONFIG_BYTES_MAX {
            let message = format!("the file is larger than {CONFIG_BYTES_MAX} bytes");
            return Err(ConfigError::new("", 0..0, message));
        }
        let document = Document::new(text);
        let root = document.root()?;
        let mut root = document.fields(root.span(), root.into_inner(), ROOT_KEYS)?;

        let steward = root.value("steward").map(steward).transpose()?;
        let args = root.value("args").map(args).transpose()?.unwrap_or_default();
        let env = root.value("env").map(env).transpose()?.unwrap_or_default();
        let trust = root.value("trust").map(trust).transpose()?.unwrap_or_default();
        let limits = root.value("limits").map(limits).transpose()?.unwrap_or_default();
        let mut rules = Rules::default();
        if let Some(value) = root.value("network") {
            rules.network(value)?;
        }

        let files = root.value("files");
        let mut stdio = [Stdio::Null; 3];
        for (stream, name) in stdio.iter_mut().zip(["stdin", "stdout", "stderr"]) {
            let Some(value) = root.value(name) else {
                continue;
            };
            if files.is_some() {
                return Err(value
                    .error(format!("`[{name}]` and `[[files]]` cannot stand in one file"))
                    .with_hint(format!(
                        "with [[files]], add an entry of kind \"{name}\" instead"
                    )));
            }
            let mut fields = value.fields(&["kind"])?;
            let kind =
                fields.value("kind").map(|kind| kind.choice(&["null", "host"])).transpose()?;
            *stream = if kind == Some(1) { Stdio::Host } else { Stdio::Null };
        }
        let files = files.map(|value| files_entries(value, &mut rules)).transpose()?;
        rules.need_anchor(&trust)?;

        let [stdin, stdout, stderr] = stdio;
        Ok(Self {
            steward,
            args,
            env,
            files,
            stdin,
            stdout,
            stderr,
            network: rules.network,
            trust,
            limits,
        })
    }
}

#[allow(clippy::needless_pass_by_value, reason = "each key has one reader, handed on by name")]
fn steward(value: Value<'_>) -> Result<String, ConfigError> {
    let url = value.string()?;
    let valid = url.strip_prefix("https://").is_some_and(|rest| {
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        slug::valid_host(host)
            && url.len() <= 2048
            && path.bytes().all(|b| b.is_ascii_graphic() && !b"?#\\\"<>^`{|}".contains(&b))
    });
    if valid {
        Ok(url.trim_end_matches('/').to_owned())
    } else {
        Err(value
            .error("`steward` must be an https URL of a host in lower case, without query")
            .with_hint("for example steward = \"https://attest.example.com\""))
    }
}

fn no_nul<'v>(value: &'v Value<'_>) -> Result<&'v str, ConfigError> {
    let text = value.string()?;
    if text.contains('\0') {
        return Err(value.error("a NUL character cannot be passed on"));
    }
    Ok(text)
}

fn args(value: Value<'_>) -> Result<Vec<String>, ConfigError> {
    value.array()?.iter().map(|arg| no_nul(arg).map(str::to_owned)).collect()
}

fn env(value: Value<'_>) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut env = BTreeMap::new();
    for (key, value) in value.entries()? {
        let name = key.get_ref();
        if SET_BY_THE_KEEP.contains(&name.as_str()) {
            return Err(value.error(format!("`{name}` is set by the Keep")));
        }
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(
                value.error("the name of a variable is not empty and has no `=` and no NUL")
            );
        }
        env.insert(key.into_inner(), no_nul(&value)?.to_owned());
    }
    Ok(env)
}

fn trust(value: Value<'_>) -> Result<Trust, ConfigError> {
    let mut fields = value.fields(&["steward", "insecure_simulated"])?;
    let mut steward = Vec::new();
    for pin in fields.value("steward").map(Value::array).transpose()?.unwrap_or_default() {
        steward.push(pin.string()?.parse().map_err(|e| pin.error(format!("{e}")))?);
    }
    let insecure_simulated = fields.value("insecure_simulated").map(|v| v.boolean()).transpose()?;
    Ok(Trust { steward, insecure_simulated: insecure_simulated.unwrap_or(false) })
}

fn limits(value: Value<'_>) -> Result<Limits, ConfigError> {
    let mut fields = value.fields(&["memory", "cpu_seconds", "open_files", "connections"])?;
    let mut limits = Limits::default();
    if let Some(value) = fields.value("memory") {
        limits.memory_bytes = memory(&value)?;
    }
    if let Some(value) = fields.value("cpu_seconds") {
        limits.cpu_seconds = Some(value.integer(1, u64::from(u32::MAX))?);
    }
    let count = |value: Option<Value<'_>>, min: u32, default: u32| match value {
        None => Ok(default),
        Some(value) => value
            .integer(u64::from(min), u64::from(DESCRIPTORS_MAX))
            .map(|count| u32::try_from(count).unwrap_or(DESCRIPTORS_MAX)),
    };
    limits.open_files = count(fields.value("open_files"), 4, limits.open_files)?;
    limits.connections = count(fields.value("connections"), 1, limits.connections)?;
    Ok(limits)
}

/// `"256MiB"`, or a number of bytes.
fn memory(value: &Value<'_>) -> Result<u64, ConfigError> {
    if value.is_integer() {
        return value.integer(MEMORY_BYTES_MIN, MEMORY_BYTES_MAX);
    }
    let text = value.string()?;
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text.get(digits.len()..).unwrap_or_default().trim_start() {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => 0,
    };
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let bytes = digits.parse().ok().filter(|_| plain).and_then(|n: u64| n.checked_mul(unit));
    bytes.filter(|bytes| (MEMORY_BYTES_MIN..=MEMORY_BYTES_MAX).contains(bytes)).ok_or_else(|| {
        value.error("`memory` must be from \"64KiB\" to \"1024GiB\", in KiB, MiB or GiB")
    })
}

fn prot(fields: &mut Fields<'_>) -> Result<Option<Protocol>, ConfigError> {
    let index = fields.value("prot").map(|value| value.choice(&["tls", "tcp"])).transpose()?;
    Ok(index.map(|index| if index == 1 { Protocol::Tcp } else { Protocol::Tls }))
}

fn port(fields: &mut Fields<'_>, min: u64) -> Result<Option<u16>, ConfigError> {
    let port =
        fields.value("port").map(|value| value.integer(min, u64::from(u16::MAX))).transpose()?;
    Ok(port.and_then(|port| u16::try_from(port).ok()))
}

fn alpn(value: Value<'_>) -> Result<Vec<String>, ConfigError> {
    let mut names: Vec<String> = Vec::new();
    for element in value.array()? {
        let name = element.string()?;
        if !is_alpn(name) {
            return Err(element
                .error("a protocol has 1 to 255 visible ASCII characters")
                .with_hint("for example alpn = [\"h2\", \"http/1.1\"]"));
        }
        if names.iter().any(|other| other == name) {
            return Err(element.error(format!("the protocol \"{name}\" stands here twice")));
        }
        if names.len() == ALPN_PROTOCOLS_MAX {
            return Err(element.error(format!("more than {ALPN_PROTOCOLS_MAX} protocols")));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn peers(value: Value<'_>) -> Result<Vec<PeerRule>, ConfigError> {
    value.array()?.into_iter().map(peer).collect()
}

fn peer(value: Value<'_>) -> Result<PeerRule, ConfigError> {
    let mut fields =
        value.fields(&["workload", "digest", "measurement", "signer", "tee", "policy"])?;
    let mut rule = PeerRule::default();
    if let Some(value) = fields.value("workload") {
        rule.workload = Some(value.string()?.parse().map_err(|e| value.error(format!("{e}")))?);
    }
    if let Some(value) = fields.value("digest") {
        rule.digest = Some(value.string()?.parse().map_err(|e| value.error(format!("{e}")))?);
    }
    for (name, part) in [("measurement", &mut rule.measurement), ("signer", &mut rule.signer)] {
        let Some(value) = fields.value(name) else { continue };
        let hex = value.string()?;
        if !is_measurement(hex) {
            return Err(
                value.error(format!("`{name}` must be 64, 96 or 128 lower-case hex digits"))
            );
        }
        *part = Some(hex.to_owned());
    }
    if let Some(value) = fields.value("tee") {
        let index = value.choice(&TEES)?;
        rule.tee = TEES.get(index).map(|tee| (*tee).to_owned());
    }
    if let Some(value) = fields.value("policy") {
        rule.policy = Some(value.string()?.parse().map_err(|e| value.error(format!("{e}")))?);
    }
    if rule == PeerRule::default() {
        return Err(fields
            .error("a peer without any field would match everybody")
            .with_hint("give at least one of workload, digest, measurement, signer, tee, policy"));
    }
    Ok(rule)
}

/// The network rules while they are collected, with the places that later checks need.
#[derive(Default)]
struct Rules<'t> {
    network: Network,
    /// The first rule that only an attested Keep can meet.
    keeps_only: Option<Fields<'t>>,
    /// Where `prot` was said for a port or a host.
    said_incoming: BTreeSet<u16>,
    said_outgoing: BTreeSet<HostPort>,
}

impl<'t> Rules<'t> {
    fn network(&mut self, value: Value<'t>) -> Result<(), ConfigError> {
        let mut fields = value.fields(&["incoming", "outgoing"])?;
        if let Some(value) = fields.value("incoming") {
            for (key, value) in value.entries()? {
                let (rule, prot_said) = self.incoming(value.clone())?;
                if key.get_ref() == "default" {
                    self.network.incoming.default = Some(rule);
                    continue;
                }
                let port = key.get_ref().parse::<u16>().ok();
                let Some(port) = port.filter(|port| port.to_string() == *key.get_ref()) else {
                    return Err(fields
                        .document()
                        .error(key.span(), "wanted a port from 0 to 65535, or `default`")
                        .with_hint("for example [network.incoming.50000]"));
                };
                if prot_said {
                    self.said_incoming.insert(port);
                }
                self.network.incoming.ports.insert(port, rule);
            }
        }
        if let Some(value) = fields.value("outgoing") {
            for (key, value) in value.entries()? {
                let (rule, prot_said) = self.outgoing(value)?;
                if key.get_ref() == "default" {
                    self.network.outgoing.default = Some(rule);
                    continue;
                }
                let here = |message: String| fields.document().error(key.span(), message);
                let host: HostPort = key.get_ref().parse().map_err(|e| here(format!("{e}")))?;
                if prot_said {
                    self.said_outgoing.insert(host.clone());
                }
                let before = self.network.outgoing.hosts.insert(host.clone(), rule.clone());
                if before.is_some_and(|before| before != rule) {
                    return Err(here(format!("{host} stands here twice, with different rules")));
                }
            }
        }
        Ok(())
    }

    /// The rule, and whether it says `prot`.
    fn incoming(&mut self, value: Value<'t>) -> Result<(IncomingRule, bool), ConfigError> {
        let mut fields = value.fields(&["prot", "client", "peers", "alpn"])?;
        let prot = prot(&mut fields)?;
        let client = fields.value("client");
        let asked =
            client.as_ref().map(|v| v.choice(&["none", "request", "require"])).transpose()?;
        let peers = fields.value("peers").map(peers).transpose()?.unwrap_or_default();
        let client_auth = match asked {
            Some(0) => ClientAuth::None,
            Some(2) => ClientAuth::Require,
            Some(_) => ClientAuth::Request,
            None if peers.is_empty() => ClientAuth::Request,
            None => ClientAuth::Require,
        };
        if let Some(client) =
            client.filter(|_| !peers.is_empty() && client_auth != ClientAuth::Require)
        {
            return Err(client
                .error("`peers` let in only whom they name, so `client` cannot be less than \"require\"")
                .with_hint("leave `client` out, or `peers`"));
        }
        if prot == Some(Protocol::Tcp) && (asked.is_some_and(|a| a != 0) || !peers.is_empty()) {
            return Err(fields
                .error("plain TCP has no certificates: `client` and `peers` need prot = \"tls\""));
        }
        let alpn = fields.value("alpn").map(alpn).transpose()?.unwrap_or_default();
        if prot == Some(Protocol::Tcp) && !alpn.is_empty() {
            return Err(fields.error("plain TCP negotiates nothing: `alpn` needs prot = \"tls\""));
        }
        if client_auth == ClientAuth::Require {
            self.keeps_only.get_or_insert(fields);
        }
        let rule =
            IncomingRule { prot: prot.unwrap_or_default(), client: client_auth, peers, alpn };
        Ok((rule, prot.is_some()))
    }

    /// The rule, and whether it says `prot`.
    fn outgoing(&mut self, value: Value<'t>) -> Result<(OutgoingRule, bool), ConfigError> {
        let mut fields = value.fields(&["prot", "trust", "peers"])?;
        let prot = prot(&mut fields)?;
        let trust = fields.value("trust");
        let asked = trust.as_ref().map(|v| v.choice(&["web", "steward"])).transpose()?;
        let peers = fields.value("peers").map(peers).transpose()?.unwrap_or_default();
        let outgoing_trust = if asked == Some(1) || !peers.is_empty() {
            OutgoingTrust::Steward
        } else {
            OutgoingTrust::Web
        };
        if let Some(trust) = trust.filter(|_| asked == Some(0) && !peers.is_empty()) {
            return Err(trust
                .error("`peers` are Keeps, for which only a Steward can vouch")
                .with_hint("leave `trust` out, or `peers`"));
        }
        if prot == Some(Protocol::Tcp) && (asked.is_some() || !peers.is_empty()) {
            return Err(fields
                .error("plain TCP has no certificates: `trust` and `peers` need prot = \"tls\""));
        }
        if outgoing_trust == OutgoingTrust::Steward {
            self.keeps_only.get_or_insert(fields);
        }
        let rule = OutgoingRule { prot: prot.unwrap_or_default(), trust: outgoing_trust, peers };
        Ok((rule, prot.is_some()))
    }

    /// A rule that only an attested Keep meets, without anybody to vouch for Keeps, refuses everybody for ever.
    fn need_anchor(&self, trust: &Trust) -> Result<(), ConfigError> {
        match &self.keeps_only {
            Some(rule) if trust.steward.is_empty() => Err(rule
                .error(
                    "this rule takes only attested Keeps, but nobody is trusted to vouch for them",
                )
                .with_hint("name the Steward's root: [trust] steward = [\"sha256:…\"]")),
            _ => Ok(()),
        }
    }

    /// The protocol of a `listen` entry that names no port.
    fn likely_incoming(&self, said: Option<Protocol>) -> Protocol {
        let default = self.network.incoming.default.as_ref();
        said.or(default.map(|rule| rule.prot)).unwrap_or_default()
    }

    /// Adds what a `listen` entry implies; returns its protocol.
    fn listen(
        &mut self,
        port: u16,
        said: Option<Protocol>,
        entry: &Fields<'t>,
    ) -> Result<Protocol, ConfigError> {
        let Incoming { default, ports } = &mut self.network.incoming;
        let own = ports.get(&port);
        if let (Some(rule), Some(said)) = (own, said)
            && self.said_incoming.contains(&port)
            && rule.prot != said
        {
            return Err(entry.error(format!("[network.incoming.{port}] says another `prot`")));
        }
        let mut rule = own.or(default.as_ref()).cloned().unwrap_or_default();
        rule.prot = said.unwrap_or(rule.prot);
        if rule.prot == Protocol::Tcp && rule.client == ClientAuth::Require {
            return Err(entry.error(
                "plain TCP has no certificates, which [network.incoming] demands for this port",
            ));
        }
        if rule.prot == Protocol::Tcp && !rule.alpn.is_empty() {
            return Err(entry.error(
                "plain TCP negotiates no `alpn`, which [network.incoming] names for this port",
            ));
        }
        let prot = rule.prot;
        ports.insert(port, rule);
        self.said_incoming.insert(port);
        Ok(prot)
    }

    /// Adds what a `connect` entry implies; returns protocol and port.
    fn connect(
        &mut self,
        host: &str,
        port: Option<u16>,
        said: Option<Protocol>,
        entry: &Fields<'t>,
    ) -> Result<(Protocol, u16), ConfigError> {
        let Outgoing { default, hosts } = &mut self.network.outgoing;
        let whole = HostPort::normalised(host, None);
        let general = hosts.get(&whole).or(default.as_ref()).cloned();
        let guess = said.or(general.as_ref().map(|rule| rule.prot)).unwrap_or_default();
        let exact = HostPort::normalised(host, Some(port.unwrap_or_else(|| guess.default_port())));
        let own = hosts.get(&exact);
        let teller = [&exact, &whole].into_iter().find(|key| self.said_outgoing.contains(*key));
        if let (Some(key), Some(said)) = (teller, said)
            && hosts.get(key).is_some_and(|rule| rule.prot != said)
        {
            return Err(entry.error(format!("[network.outgoing.\"{key}\"] says another `prot`")));
        }
        let mut rule = own.cloned().or(general).unwrap_or_default();
        rule.prot = said.unwrap_or(rule.prot);
        if rule.prot == Protocol::Tcp && rule.trust == OutgoingTrust::Steward {
            return Err(entry.error(
                "plain TCP has no certificates, which [network.outgoing] demands for this host",
            ));
        }
        let prot = rule.prot;
        let port = exact.port.unwrap_or_else(|| prot.default_port());
        self.said_outgoing.insert(exact.clone());
        hosts.insert(exact, rule);
        Ok((prot, port))
    }
}

fn files_entries<'t>(
    value: Value<'t>,
    rules: &mut Rules<'t>,
) -> Result<Vec<FileEntry>, ConfigError> {
    let elements = value.array()?;
    if let Some(extra) = elements.get(DESCRIPTORS_MAX as usize) {
        return Err(extra.error(format!("more than {DESCRIPTORS_MAX} descriptors")));
    }
    let mut names = BTreeSet::new();
    let mut listening = BTreeSet::new();
    let mut files = Vec::new();
    for element in elements {
        let (entry, name_at) = file(element.clone(), rules)?;
        // Several unnamed `null` entries keep numbers free, and nobody looks them up by name.
        let placeholder = matches!(&entry, FileEntry::Null { name } if name == "null");
        if !placeholder && !names.insert(entry.name().to_owned()) {
            return Err(element_error(
                &element,
                name_at,
                format!("the name \"{}\" stands here twice", entry.name().escape_debug()),
            )
            .with_hint("give each descriptor a `name` of its own"));
        }
        if let FileEntry::Listen { port, .. } = &entry
            && *port != 0
            && !listening.insert(*port)
        {
            return Err(element.error(format!("port {port} is listened on twice")));
        }
        files.push(entry);
    }
    Ok(files)
}

fn element_error(element: &Value<'_>, at: Option<Range<usize>>, message: String) -> ConfigError {
    match at {
        Some(span) => element.error_at(span, message),
        None => element.error(message),
    }
}

/// The entry, and where its name stands.
fn file<'t>(
    value: Value<'t>,
    rules: &mut Rules<'t>,
) -> Result<(FileEntry, Option<Range<usize>>), ConfigError> {
    const KINDS: &[&str] = &["null", "stdin", "stdout", "stderr", "listen", "connect"];
    // Which keys may stand here depends on the kind, so this comes first.
    let mut any = value.clone().fields(&["kind", "name", "prot", "addr", "port", "host"])?;
    let kind = any.required("kind")?.choice(KINDS)?;
    let known: &[&str] = match kind {
        4 => &["kind", "name", "prot", "addr", "port"],
        5 => &["kind", "name", "prot", "host", "port"],
        _ => &["kind", "name"],
    };
    let mut fields = value.fields(known)?;
    let named = fields.value("name");
    let name_at = named.as_ref().map(Value::span);
    let name = named.as_ref().map(name).transpose()?;
    let entry = match kind {
        4 => {
            let Some(name) = name else {
                return Err(fields
                    .error("the key `name` is missing")
                    .with_hint("a listening socket needs a name, for FD_NAMES"));
            };
            let said = prot(&mut fields)?;
            let addr = fields.value("addr").map(|v| address(&v)).transpose()?;
            let asked = port(&mut fields, 0)?;
            let port = asked.unwrap_or_else(|| rules.likely_incoming(said).default_port());
            let prot = rules.listen(port, said, &fields)?;
            let addr = addr.unwrap_or(FileEntry::LISTEN_ANY);
            FileEntry::Listen { name, prot, addr, port }
        }
        5 => {
            let value = fields.required("host")?;
            let Some(host) = HostPort::host_only(value.string()?) else {
                return Err(value
                    .error("`host` must be a DNS name or an IP address")
                    .with_hint("the port goes into the key `port`"));
            };
            let said = prot(&mut fields)?;
            let asked = port(&mut fields, 1)?;
            let (prot, port) = rules.connect(&host, asked, said, &fields)?;
            if host.contains(':') && name.is_none() {
                return Err(value
                    .error("an IPv6 address is no name for FD_NAMES")
                    .with_hint("add `name`"));
            }
            let name = name.unwrap_or_else(|| host.clone());
            FileEntry::Connect { name, host, prot, port }
        }
        3 => FileEntry::Stderr { name: name.unwrap_or_else(|| "stderr".to_owned()) },
        2 => FileEntry::Stdout { name: name.unwrap_or_else(|| "stdout".to_owned()) },
        1 => FileEntry::Stdin { name: name.unwrap_or_else(|| "stdin".to_owned()) },
        _ => FileEntry::Null { name: name.unwrap_or_else(|| "null".to_owned()) },
    };
    Ok((entry, name_at))
}

fn name(value: &Value<'_>) -> Result<String, ConfigError> {
    let name = no_nul(value)?;
    if name.contains(':') {
        return Err(value.error("a name cannot contain `:`, which separates the names in FD_NAMES"));
    }
    if name.is_empty() || name.len() > 255 {
        return Err(value.error("a name has from 1 to 255 bytes"));
    }
    Ok(name.to_owned())
}

fn address(value: &Value<'_>) -> Result<IpAddr, ConfigError> {
    let text = value.string()?;
    text.parse().map_err(|_| {
        value
            .error("`addr` must be an IP address")
            .with_hint("for example \"::\" (all), \"127.0.0.1\"")
    })
}
