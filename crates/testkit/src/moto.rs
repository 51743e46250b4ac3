// SPDX-License-Identifier: Apache-2.0

//! A server that speaks S3: moto (PyPI `moto[server]`, 5.2.5 or newer), a process of its own that keeps everything in memory.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

/// Its region and credentials; it looks at neither.
const ENVIRONMENT: [(&str, &str); 3] =
    [("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];

/// Runs moto with one request at a time: it looks at the condition of a write first and writes then, with nothing that keeps
/// two of its threads from doing so at once, as no server of S3 may.
const PROGRAM: &str = r"
import sys, threading
try:
    import moto.server as moto
except ImportError:
    sys.exit('moto is not installed')
run, turn = moto.run_simple, threading.Lock()
def run_in_turns(host, port, app, **options):
    def in_turns(environ, start_response):
        with turn:
            return app(environ, start_response)
    run(host, port, in_turns, **options)
moto.run_simple = run_in_turns
moto.main(sys.argv[1:])
";

/// A running server, ended with this.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    address: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Moto {
    /// Starts a server with an empty bucket of this name; `None` if moto is not installed, which the named test then says
    /// on standard error.
    ///
    /// # Errors
    /// If it does not do what it should.
    pub fn start(bucket: &str, test: &str) -> std::io::Result<Option<Self>> {
        let mut command = Command::new("python3");
        command.args(["-c", PROGRAM, "-H", "127.0.0.1", "-p", "0"]).env("PYTHONUNBUFFERED", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let skip = || {
            eprintln!("SKIP {test}: moto is not installed (PyPI moto[server], 5.2.5 or newer)");
            Ok(None)
        };
        let Ok(child) = command.spawn() else {
            return skip();
        };
        let mut server = Self { child, address: String::new() };
        let failed = || std::io::Error::other("moto does not say where it listens");
        let mut lines = BufReader::new(server.child.stderr.take().ok_or_else(failed)?).lines();
        for line in &mut lines {
            let line = line?;
            if line == "moto is not installed" {
                return skip();
            }
            if let Some((_, rest)) = line.split_once("http://") {
                server.address = rest.split_whitespace().next().unwrap_or_default().to_owned();
                break;
            }
        }
        // What it logs is read, or it would stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        server.make(bucket)?;
        Ok(Some(server))
    }

    fn make(&self, bucket: &str) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(
            stream,
            "PUT /{bucket} HTTP/1.1\r\nHost: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        match answer.split(' ').nth(1) {
            Some("200") => Ok(()),
            _ => Err(std::io::Error::other(answer)),
        }
    }

    /// Where it listens, as a URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What a client finds it by: variables of the environment.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment: Vec<_> =
            ENVIRONMENT.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        environment.push(("AWS_ENDPOINT_URL", self.endpoint()));
        environment
    }
}
