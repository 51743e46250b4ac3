// SPDX-License-Identifier: Apache-2.0

//! The commands that `enarx up` shows at the end, ready to be pasted.

use std::path::Path;

use super::demo;
use super::services::{SILICON, STEWARD_ROOT, TLS_ROOT};
use super::world::World;
use crate::failure::Failure;
use crate::output;

impl World {
    /// The commands with which everybody can see for themselves.
    ///
    /// # Errors
    /// If the services are not up.
    pub(crate) fn lines_to_paste(&self, style: output::Style) -> Result<String, Failure> {
        let services = self.services()?;
        let here = std::env::current_dir().ok();
        let shown = |path: &Path| {
            quote(here.as_deref().and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path))
        };
        let file = |name: &str| shown(&self.state.path(name));
        let enarx =
            std::env::current_exe().map_or_else(|_| "enarx".to_owned(), |path| shown(&path));
        // A bare name would be looked for in PATH.
        let enarx = if enarx == "enarx" { "./enarx".to_owned() } else { enarx };
        let (port, ca, chain) = (self.chat_port, file(STEWARD_ROOT), file("chain.pem"));
        let (server, client) = (self.slug(demo::SERVER_REPO)?, self.slug(demo::CLIENT_REPO)?);
        let line = |title: &str, command: String| format!("{}\n  {command}\n", style.dim(title));
        let mut text = format!("\n{}\n", style.good("The room is open. All of this is what production does, save the roots and the silicon."));
        text.push_str(&line(
            "What does the room prove?",
            format!("{enarx} verify localhost:{port} --ca {ca} --expect workload={server} --insecure-allow-simulated"),
        ));
        text.push_str(&line(
            "The same with ordinary tools",
            format!(
                "openssl s_client -connect localhost:{port} -CAfile {ca} -showcerts </dev/null 2>/dev/null >{chain}\n  \
                 openssl verify -CAfile {ca} {chain} && openssl x509 -in {chain} -noout -text"
            ),
        ));
        text.push_str(&line(
            "Join the room from another terminal",
            format!(
                "{enarx} deploy {client} --simulate snp --simulated-silicon {} --ca-bundle {}",
                file(SILICON),
                file(TLS_ROOT)
            ),
        ));
        text.push_str(&line(
            "What the services say",
            format!(
                "tail -f {} {}",
                shown(services.steward.log()),
                shown(services.drawbridge.log())
            ),
        ));
        text.push_str("\nWhat you type here is said in the room by the first client. Ctrl-C ends everything.\n");
        Ok(text)
    }
}

/// A path as a shell takes it.
fn quote(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_survive_a_shell() {
        assert_eq!(quote(Path::new("/a/b-1.pem")), "/a/b-1.pem");
        assert_eq!(quote(Path::new("/a b/c")), "'/a b/c'");
        assert_eq!(quote(Path::new("it's")), r"'it'\''s'");
    }
}
