// SPDX-License-Identifier: Apache-2.0

use proptest::prelude::*;

use super::*;

const PIN: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

fn refused(text: &str) -> ConfigError {
    match Config::parse(text) {
        Err(error) => error,
        Ok(config) => panic!("accepted:\n{text}\nas {config:?}"),
    }
}

#[test]
fn an_empty_file_allows_nothing() {
    let config = Config::parse("").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.stdout, Stdio::Null);
    assert_eq!(config.files, None);
    assert!(config.incoming_rule(443).is_none());
    assert!(config.outgoing_rule("example.com", 443).is_none());
    assert_eq!(config.outgoing_port("example.com"), None);
    assert_eq!(config.limits.memory_bytes, 1 << 30);
}

#[test]
fn the_released_schema_parses_as_documented() {
    let config = Config::parse(
        r#"
        steward = "https://attest.example.com/"
        args = ["--verbose", "a b"]
        env = { LANG = "C" }
        [[files]]
        kind = "stdin"
        [[files]]
        kind = "stdout"
        [[files]]
        kind = "stderr"
        name = "errors"
        [[files]]
        kind = "null"
        [[files]]
        kind = "null"
        [[files]]
        kind = "listen"
        name = "web"
        [[files]]
        kind = "listen"
        name = "plain"
        prot = "tcp"
        addr = "127.0.0.1"
        [[files]]
        kind = "connect"
        host = "Example.COM"
        [[files]]
        kind = "connect"
        name = "six"
        host = "::1"
        prot = "tcp"
        port = 9
        "#,
    )
    .unwrap();
    assert_eq!(config.steward.as_deref(), Some("https://attest.example.com"));
    assert_eq!(config.args, ["--verbose", "a b"]);
    let files = config.files.as_ref().unwrap();
    let names: Vec<&str> = files.iter().map(FileEntry::name).collect();
    assert_eq!(
        names,
        ["stdin", "stdout", "errors", "null", "null", "web", "plain", "example.com", "six"]
    );
    assert_eq!(
        files[5],
        FileEntry::Listen {
            name: "web".into(),
            prot: Protocol::Tls,
            addr: FileEntry::LISTEN_ANY,
            port: 443
        }
    );
    assert_eq!(
        files[6],
        FileEntry::Listen {
            name: "plain".into(),
            prot: Protocol::Tcp,
            addr: "127.0.0.1".parse().unwrap(),
            port: 80
        }
    );
    assert_eq!(config.incoming_rule(443), Some(&IncomingRule::default()));
    assert_eq!(config.incoming_rule(80).unwrap().prot, Protocol::Tcp);
    assert_eq!(config.outgoing_rule("EXAMPLE.com.", 443), Some(&OutgoingRule::default()));
    assert!(config.outgoing_rule("example.com", 80).is_none());
    assert_eq!(config.outgoing_rule("[::1]", 9).unwrap().prot, Protocol::Tcp);
    assert_eq!(config.outgoing_rule("0:0::1", 9).unwrap().prot, Protocol::Tcp);
}

#[test]
fn the_file_system_schema_parses_as_documented() {
    let config = Config::parse(&format!(
        r#"
        [stdin]
        [stdout]
        kind = "host"
        [network.incoming.default]
        prot = "tcp"
        [network.incoming.50000]
        peers = [{{ workload = "store.example.com/chat/client:^0.1", tee = "snp" }}]
        [network.incoming.50001]
        client = "none"
        [network.outgoing.default]
        prot = "tcp"
        [network.outgoing."example.com"]
        [network.outgoing."example.com:81"]
        prot = "tcp"
        [network.outgoing."[::1]:443"]
        trust = "steward"
        [trust]
        steward = ["{PIN}"]
        insecure_simulated = true
        [limits]
        memory = "256MiB"
        cpu_seconds = 7
        open_files = 8
        connections = 9
        "#
    ))
    .unwrap();
    assert_eq!((config.stdin, config.stdout), (Stdio::Null, Stdio::Host));
    assert_eq!(config.incoming_rule(1).unwrap().prot, Protocol::Tcp);
    let chat = config.incoming_rule(50000).unwrap();
    assert_eq!((chat.prot, chat.client), (Protocol::Tls, ClientAuth::Require));
    assert_eq!(config.incoming_rule(50001).unwrap().client, ClientAuth::None);
    assert_eq!(config.outgoing_rule("example.com", 81).unwrap().prot, Protocol::Tcp);
    assert_eq!(config.outgoing_rule("example.com", 80).unwrap().prot, Protocol::Tls);
    assert_eq!(config.outgoing_rule("other.com", 80).unwrap().prot, Protocol::Tcp);
    assert_eq!(config.outgoing_rule("::1", 443).unwrap().trust, OutgoingTrust::Steward);
    assert_eq!(config.outgoing_port("example.com"), Some(443));
    assert_eq!(config.outgoing_port("[::1]"), Some(443));
    assert_eq!(config.outgoing_port("other.com"), Some(80));
    assert_eq!(config.trust.steward, [RootPin::Fingerprint(PIN.parse().unwrap())]);
    assert_eq!(config.limits.memory_bytes, 256 << 20);
    assert_eq!(config.limits.cpu_seconds, Some(7));
    let limits = config.limits;
    assert_eq!((limits.open_files, limits.connections), (8, 9));
}

#[test]
fn files_take_what_the_network_tables_say_more() {
    let config = Config::parse(&format!(
        r#"
        [[files]]
        kind = "listen"
        name = "in"
        port = 50000
        [[files]]
        kind = "connect"
        host = "peer.example"
        [network.incoming.50000]
        client = "require"
        alpn = ["h2", "http/1.1"]
        [network.outgoing."peer.example"]
        peers = [{{ digest = "{PIN}" }}]
        [trust]
        steward = ["{PIN}"]
        "#
    ))
    .unwrap();
    assert_eq!(config.incoming_rule(50000).unwrap().client, ClientAuth::Require);
    assert_eq!(config.incoming_rule(50000).unwrap().alpn, ["h2", "http/1.1"]);
    assert!(config.explain().contains("attested Keep, nobody else; negotiates h2, http/1.1."));
    assert_eq!(config.outgoing_rule("peer.example", 443).unwrap().peers.len(), 1);
}

#[test]
fn unknown_keys_are_refused_with_place_and_nearest_key() {
    for (text, line, column, hint) in [
        ("stewart = \"https://a.b\"", 1, 1, "did you mean `steward`?"),
        ("args = []\n[netwrok.incoming.1]", 2, 2, "did you mean `network`?"),
        ("[network.incomming.1]", 1, 10, "did you mean `incoming`?"),
        ("[network.incoming.1]\nport = 1", 2, 1, "did you mean `prot`?"),
        ("[network.outgoing.\"h\"]\npeer = []", 2, 1, "did you mean `peers`?"),
        ("[network.outgoing.\"h\"]\npeers = [{ digst = 1 }]", 2, 12, "did you mean `digest`?"),
        ("[[files]]\nkind = \"listen\"\nname = \"a\"\nhost = \"h\"", 4, 1, "did you mean `port`?"),
        ("[[files]]\nkind = \"stdin\"\nport = 1", 3, 1, "allowed here: kind, name"),
        ("[stdin]\nkin = \"host\"", 2, 1, "did you mean `kind`?"),
        ("[limits]\nmemroy = 1", 2, 1, "did you mean `memory`?"),
        ("[trust]\nsteward = []\nstewards = []", 3, 1, "did you mean `steward`?"),
    ] {
        let error = refused(text);
        let place = (error.line, error.column, error.hint.as_deref());
        assert_eq!(place, (line, column, Some(hint)), "{text}\n{error}");
        assert!(error.message.starts_with("unknown key"), "{error}");
    }
}

#[test]
fn senseless_values_are_refused() {
    for (text, part) in [
        ("steward = \"http://a.b\"", "https"),
        ("steward = \"https://a.b?x\"", "https"),
        ("steward = \"https://u@a.b\"", "https"),
        ("steward = 1", "must be a string"),
        ("args = \"a\"", "must be an array"),
        ("args = [\"\\u0000\"]", "NUL"),
        ("env = { FD_COUNT = \"1\" }", "set by the Keep"),
        ("env = { \"a=b\" = \"1\" }", "no `=`"),
        ("env = { a = 1 }", "must be a string"),
        ("[stdin]\nkind = \"hots\"", "\"null\" or \"host\""),
        ("[[files]]\nname = \"a\"", "`kind` is missing"),
        ("[[files]]\nkind = \"listne\"", "must be"),
        ("[[files]]\nkind = \"listen\"", "`name` is missing"),
        ("[[files]]\nkind = \"listen\"\nname = \"a:b\"", "cannot contain `:`"),
        ("[[files]]\nkind = \"listen\"\nname = \"\"", "1 to 255"),
        ("[[files]]\nkind = \"listen\"\nname = \"a\"\nport = 70000", "from 0 to 65535"),
        ("[[files]]\nkind = \"listen\"\nname = \"a\"\nport = -1", "from 0 to 65535"),
        ("[[files]]\nkind = \"listen\"\nname = \"a\"\naddr = \"h\"", "IP address"),
        ("[[files]]\nkind = \"listen\"\nname = \"a\"\nprot = \"udp\"", "\"tls\" or \"tcp\""),
        ("[[files]]\nkind = \"connect\"", "`host` is missing"),
        ("[[files]]\nkind = \"connect\"\nhost = \"h:1\"", "DNS name or an IP"),
        ("[[files]]\nkind = \"connect\"\nhost = \"h\"\nport = 0", "from 1 to 65535"),
        ("[[files]]\nkind = \"connect\"\nhost = \"::1\"", "no name"),
        ("[[files]]\nkind = \"stdin\"\n[[files]]\nkind = \"stdin\"", "twice"),
        ("[[files]]\nkind = \"stdin\"\n[stdin]\nkind = \"host\"", "cannot stand in one file"),
        ("files = []\n[stdout]", "cannot stand in one file"),
        ("[network.incoming.70000]", "port"),
        ("[network.incoming.\"080\"]", "port"),
        ("[network.outgoing.\"h:0\"]", "host"),
        ("[network.outgoing.\"::1\"]", "brackets"),
        ("[network.outgoing.\"[h]\"]", "host"),
        ("[network.outgoing.\"a b\"]", "host"),
        ("[network.outgoing.\"\"]", "host"),
        ("[network.outgoing.\"h\"]\n[network.outgoing.\"H\"]\nprot = \"tcp\"", "twice"),
        ("[network.incoming.1]\nprot = \"tcp\"\nclient = \"require\"", "no certificates"),
        ("[network.outgoing.\"h\"]\nprot = \"tcp\"\ntrust = \"web\"", "no certificates"),
        ("[network.incoming.1]\nclient = \"request\"\npeers = [{ tee = \"snp\" }]", "require"),
        ("[network.outgoing.\"h\"]\ntrust = \"web\"\npeers = [{ tee = \"snp\" }]", "Steward"),
        ("[network.incoming.1]\nprot = \"tcp\"\nalpn = [\"h2\"]", "negotiates nothing"),
        ("[network.incoming.1]\nalpn = \"h2\"", "must be an array"),
        ("[network.incoming.1]\nalpn = [\"\"]", "1 to 255 visible"),
        ("[network.incoming.1]\nalpn = [\"h 2\"]", "1 to 255 visible"),
        ("[network.incoming.1]\nalpn = [\"h2\", \"h2\"]", "twice"),
        (
            "[network.incoming.1]\nalpn = [\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]",
            "more than 8",
        ),
        ("[network.incoming.1]\npeers = [{}]", "match everybody"),
        ("[network.incoming.1]\npeers = [{ tee = \"sev\" }]", "must be"),
        ("[network.incoming.1]\npeers = [{ digest = \"sha256:00\" }]", "64 lower-case"),
        ("[network.incoming.1]\npeers = [{ measurement = \"AB\" }]", "hex"),
        ("[network.incoming.1]\npeers = [{ signer = \"ab\" }]", "`signer` must be"),
        ("[network.incoming.1]\npeers = [{ policy = \"ab\" }]", "64 lower-case"),
        ("[network.incoming.1]\npeers = [{ workload = \"a/b\" }]", "host/user/repo"),
        ("[network.incoming.1]\npeers = [{ workload = \"h/u/r:latest\" }]", "no version"),
        ("[network.incoming.1]\npeers = [{ workload = \"h/u/r:1.0.0@sha256:00\" }]", "no digest"),
        ("[network.incoming.1]\npeers = [{ tee = \"snp\" }]", "nobody is trusted"),
        ("[network.incoming.1]\nclient = \"require\"", "nobody is trusted"),
        ("[network.outgoing.\"h\"]\ntrust = \"steward\"", "nobody is trusted"),
        ("[trust]\nsteward = [\"x\"]", "sha256:"),
        (
            "[trust]\nsteward = [\"-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\"]",
            "PEM",
        ),
        ("[trust]\ninsecure_simulated = 1", "true or false"),
        ("[limits]\nmemory = \"1MB\"", "MiB"),
        ("[limits]\nmemory = \"1.5GiB\"", "MiB"),
        ("[limits]\nmemory = \"-1GiB\"", "MiB"),
        ("[limits]\nmemory = \"99999999999999999999GiB\"", "MiB"),
        ("[limits]\nmemory = \"18014398509481985KiB\"", "MiB"),
        ("[limits]\nmemory = 1", "from 65536"),
        ("[limits]\ncpu_seconds = 0", "from 1"),
        ("[limits]\nopen_files = 3", "from 4"),
        ("[limits]\nconnections = 100000", "to 65536"),
    ] {
        let error = refused(text);
        assert!(error.message.contains(part), "{text}\n{error}");
    }
}

#[test]
fn contradictions_between_files_and_tables_are_refused() {
    let listen = "[[files]]\nkind = \"listen\"\nname = \"a\"\nport = 7\n";
    let connect = "[[files]]\nkind = \"connect\"\nhost = \"h\"\n";
    for (text, part) in [
        (format!("{listen}prot = \"tcp\"\n[network.incoming.7]\nprot = \"tls\""), "another `prot`"),
        (format!("{listen}[[files]]\nkind = \"listen\"\nname = \"b\"\nport = 7"), "twice"),
        (
            format!(
                "{listen}prot = \"tcp\"\n[network.incoming.default]\nclient = \"require\"\n[trust]\nsteward = [\"{PIN}\"]"
            ),
            "no certificates",
        ),
        (
            format!("{listen}prot = \"tcp\"\n[network.incoming.default]\nalpn = [\"h2\"]"),
            "negotiates no `alpn`",
        ),
        (
            format!("{connect}prot = \"tls\"\n[network.outgoing.\"h\"]\nprot = \"tcp\""),
            "another `prot`",
        ),
        (
            format!("{connect}prot = \"tls\"\n{connect}name = \"b\"\nprot = \"tcp\"\nport = 443"),
            "another `prot`",
        ),
        (
            format!(
                "{connect}prot = \"tcp\"\n[network.outgoing.default]\ntrust = \"steward\"\n[trust]\nsteward = [\"{PIN}\"]"
            ),
            "no certificates",
        ),
    ] {
        let error = refused(&text);
        assert!(error.message.contains(part), "{text}\n{error}");
    }
}

#[test]
fn errors_show_the_line_and_a_caret() {
    let error = refused("args = []\n[network.incoming.1]\n  prto = \"tcp\"\n");
    assert_eq!(
        error.to_string(),
        "line 3, column 3: unknown key `prto`\n  |\n3 |   prto = \"tcp\"\n  |   ^^^^\n  = did you mean `prot`?"
    );
    let large = format!("#{}", "x".repeat(crate::limits::CONFIG_BYTES_MAX));
    assert!(refused(&large).message.contains("larger"));
}

#[test]
fn a_full_version_is_meant_exactly() {
    let matches = |pattern: &str, slug: &str| {
        let pattern: WorkloadPattern = pattern.parse().unwrap();
        pattern.matches(&slug.parse().unwrap())
    };
    assert!(matches("h:1/u/r", "h:1/u/r:9.9.9"));
    assert!(matches("h/u/r:1.2.0", "h/u/r:1.2.0"));
    assert!(!matches("h/u/r:1.2.0", "h/u/r:1.2.1"));
    assert!(matches("h/u/r:^1.2", "h/u/r:1.9.0"));
    assert!(matches("h/u/r:>=0.1.0, <=0.1.2", "h/u/r:0.1.2"));
    assert!(!matches("h/u/r:>=0.1.0, <=0.1.2", "h/u/r:0.1.3"));
    assert!(!matches("h/u/r:^1.2", "h/u/r:2.0.0-rc.1"));
    assert!(!matches("h/u/r", "h/u/r2:1.0.0"));
    assert!(!matches("h/u/r", "h/u2/r:1.0.0"));
    assert!(!matches("h/u/r", "h2/u/r:1.0.0"));
    let digest = format!("h/u/r:1.2.0@{PIN}");
    assert!(matches("h/u/r:1.2.0", &digest));
}

#[test]
fn a_root_is_a_fingerprint_or_a_certificate() {
    let pem = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let pin: RootPin = pem.parse().unwrap();
    assert_eq!(pin, RootPin::Certificate(vec![0x30, 0]));
    assert_eq!(pin.fingerprint(), crate::digest::Sha256::of(&[0x30, 0]));
    let two = format!("{pem}{pem}");
    assert!(two.parse::<RootPin>().is_err());
}

#[test]
fn the_example_parses_and_so_does_all_that_it_comments_out() {
    let config = Config::parse(Config::example()).unwrap();
    assert_eq!(config.stdout, Stdio::Host);
    assert_eq!(config.limits, Limits::default());

    // Code follows the # at once, prose after a space.
    let code =
        |line: &str| line.strip_prefix('#').is_some_and(|rest| !rest.starts_with([' ', '\n']));
    let all: String = Config::example()
        .split_inclusive("\n\n")
        .filter(|part| !part.contains("[[files]]"))
        .flat_map(|part| part.split_inclusive('\n'))
        .map(|line| if code(line) { &line[1..] } else { line })
        .collect();
    let config = Config::parse(&all).unwrap();
    assert_eq!(config.network.outgoing.hosts.len(), 2);
    assert_eq!(config.limits.cpu_seconds, Some(60));
    let files: String = Config::example()
        .split("\n\n")
        .filter(|part| part.contains("[[files]]"))
        .flat_map(|part| part.split_inclusive('\n'))
        .map(|line| if code(line) { &line[1..] } else { line })
        .collect();
    assert_eq!(Config::parse(&files).unwrap().files.unwrap().len(), 3);
}

#[test]
fn explain_names_every_permission() {
    let config = Config::parse(&format!(
        "[network.incoming.7]\npeers = [{{ workload = \"h/u/r:^1\" }}, {{ tee = \"snp\", digest = \"{PIN}\", signer = \"{}\", policy = \"{PIN}\" }}]\n[network.outgoing.\"h\"]\nprot = \"tcp\"\n[trust]\nsteward = [\"{PIN}\"]\ninsecure_simulated = true",
        "cd".repeat(48)
    ))
    .unwrap();
    let text = config.explain();
    for part in [
        "port 7: TLS, only Keeps running h/u/r:^1, or running the digest sha256:11",
        " and signed by cdcd",
        " and in snp and appraised under the policy sha256:11",
        "May connect to h: plain TCP",
        "May connect to no other host.",
        "INSECURE",
        "1 GiB of memory",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let empty = Config::default().explain();
    assert!(empty.contains("May not listen.") && empty.contains("May not connect to anybody."));
}

fn fragment() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "steward",
        "args",
        "env",
        "files",
        "stdin",
        "network",
        "incoming",
        "outgoing",
        "default",
        "trust",
        "limits",
        "kind",
        "name",
        "prot",
        "port",
        "host",
        "addr",
        "peers",
        "alpn",
        "workload",
        "digest",
        "memory",
        "=",
        ".",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        ",",
        "\n",
        "\"",
        "'",
        "\"tls\"",
        "\"tcp\"",
        "\"listen\"",
        "\"connect\"",
        "443",
        "0x1F",
        "-1",
        "1.5",
        "true",
        "\"h/u/r:1.0.0\"",
        "\"[::1]:1\"",
        "\"ü\"",
        "#",
        " ",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        if let Err(error) = Config::parse(&text) {
            let _ = (error.to_string(), error.brief());
        }
    }

    #[test]
    fn texts_close_to_a_configuration_are_read_or_refused(parts in prop::collection::vec(fragment(), 0..40)) {
        match Config::parse(&parts.concat()) {
            Ok(config) => { let _ = config.explain(); }
            Err(error) => { let _ = error.to_string(); }
        }
    }

    #[test]
    fn a_host_is_written_as_it_is_read(text in "[a-z\\[\\]:.0-9]{1,20}") {
        if let Ok(host) = text.parse::<HostPort>() {
            prop_assert_eq!(host.to_string().parse::<HostPort>(), Ok(host));
        }
    }

    #[test]
    fn errors_in_any_text_have_a_place(text in any::<String>(), from in 0usize..50, to in 0usize..50) {
        let _ = ConfigError::new(&text, from..to, "x").to_string();
    }
}
