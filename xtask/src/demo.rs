// SPDX-License-Identifier: Apache-2.0

//! `cargo xtask demo`: the committed Wasm, rebuilt from its source.

use std::path::Path;
use std::process::Command;

use crate::{root, run as run_command};

/// Source and module, relative to the workspace's root.
const MODULES: &[(&str, &str)] = &[
    ("demo/chat-server/main.c", "demo/chat-server/main.wasm"),
    ("demo/chat-client/main.c", "demo/chat-client/main.wasm"),
];

/// Debian's clang 14 with lld and wasi-libc: the same source gives the same bytes on every machine that has these packages.
pub(crate) const CLANG: &str = "clang-14";
const FLAGS: &[&str] = &[
    "--target=wasm32-wasi",
    "-Oz",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wl,--strip-all",
    "-Wl,-z,stack-size=65536",
];

/// Rebuilds each module, or with `check` compares a rebuilt one with what is committed.
pub(crate) fn run(check: bool) -> Result<(), String> {
    for (source, module) in MODULES {
        let (source, module) = (root().join(source), root().join(module));
        let fresh = std::env::temp_dir().join(format!("enarx-demo-{}.wasm", std::process::id()));
        compile(&source, &fresh)?;
        let bytes = std::fs::read(&fresh)
            .map_err(|error| format!("cannot read {}: {error}", fresh.display()))?;
        if check {
            let committed = std::fs::read(&module)
                .map_err(|error| format!("cannot read {}: {error}", module.display()))?;
            if committed != bytes {
                return Err(format!(
                    "{} is not what {} builds to; run `cargo xtask demo` and commit it",
                    module.display(),
                    source.display()
                ));
            }
            println!("{} is what its source builds to ({} bytes)", module.display(), bytes.len());
        } else {
            std::fs::copy(&fresh, &module)
                .map_err(|error| format!("cannot write {}: {error}", module.display()))?;
            println!("{}: {} bytes", module.display(), bytes.len());
        }
        // A left-over in the temporary directory harms nobody.
        let _ = std::fs::remove_file(&fresh);
    }
    Ok(())
}

fn compile(source: &Path, to: &Path) -> Result<(), String> {
    let mut clang = Command::new(CLANG);
    clang.args(FLAGS).arg("-o").arg(to).arg(source);
    // The distribution's programs only: clang would let any `wasm-opt` that it finds rewrite its output.
    clang.env("PATH", "/usr/bin:/bin");
    run_command(
        &mut clang,
        "clang-14 (Debian: clang-14 lld-14 wasi-libc libclang-rt-14-dev-wasm32)",
    )
}
