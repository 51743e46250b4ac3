// SPDX-License-Identifier: Apache-2.0

//! The user's browser, if there is one on this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How a page is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Browser {
    program: OsString,
    words: Vec<String>,
}

impl Browser {
    /// The browser that the environment names: the first of `$BROWSER` that is there, else what the desktop has.
    pub fn find() -> Option<Self> {
        Self::of(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()), &in_path)
    }

    fn of(
        variable: &dyn Fn(&str) -> Option<String>,
        has: &dyn Fn(&str) -> Option<PathBuf>,
    ) -> Option<Self> {
        if let Some(browsers) = variable("BROWSER") {
            // Several are separated by colons; the first that is there. A shell is not asked what the words mean.
            return browsers.split(':').find_map(|browser| {
                let mut words = browser.split_whitespace().map(str::to_owned);
                let program = words.next()?;
                let there = if program.contains('/') {
                    Path::new(&program).is_file()
                } else {
                    has(&program).is_some()
                };
                there.then(|| Self { program: program.into(), words: words.collect() })
            });
        }
        if cfg!(target_os = "macos") {
            return Some(Self { program: has("open")?.into(), words: Vec::new() });
        }
        // Without a screen there is nobody to look at it.
        variable("DISPLAY").or_else(|| variable("WAYLAND_DISPLAY"))?;
        Some(Self { program: has("xdg-open")?.into(), words: Vec::new() })
    }

    /// What is called to show this page.
    fn command(&self, url: &str) -> Command {
        let mut command = Command::new(&self.program);
        let mut named = false;
        for word in &self.words {
            named |= word.contains("%s");
            command.arg(word.replace("%s", url));
        }
        if !named {
            command.arg(url);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Shows this page; whether the browser could be called.
    pub fn show(&self, url: &str) -> bool {
        // It may stay as long as the user wants it.
        self.command(url).spawn().is_ok()
    }
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(variables: &[(&str, &str)], programs: &[&str]) -> Option<String> {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let has = |name: &str| programs.contains(&name).then(|| PathBuf::from("/bin").join(name));
        let command = Browser::of(&variable, &has)?.command("https://x/?a=%25&b");
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        Some(words.map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_users_choice_comes_first() {
        let screen = ("DISPLAY", ":0");
        assert_eq!(find(&[screen], &[]), None);
        assert_eq!(find(&[], &["xdg-open"]), None);
        for none in [" : ", "firefox", "/nonexistent/firefox"] {
            assert_eq!(find(&[("BROWSER", none), screen], &["xdg-open"]), None, "{none}");
        }
        let url = "https://x/?a=%25&b";
        for (browser, words) in [
            ("firefox", format!("firefox {url}")),
            ("none:firefox:app", format!("firefox {url}")),
            ("/dev/null/x:/proc/self/exe", format!("/proc/self/exe {url}")),
            ("app --url=%s -n", format!("app --url={url} -n")),
            ("app ; rm", format!("app ; rm {url}")),
        ] {
            assert_eq!(find(&[("BROWSER", browser), screen], &["firefox", "app"]), Some(words));
        }
        if cfg!(target_os = "linux") {
            assert_eq!(find(&[screen], &["xdg-open"]), Some(format!("/bin/xdg-open {url}")));
        }
    }
}
