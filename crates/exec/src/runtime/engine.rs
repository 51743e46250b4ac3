// SPDX-License-Identifier: Apache-2.0

//! From bytes to a running guest, and from its end to an [`Outcome`].

use std::time::Instant;

use types::limits::GUEST_STACK_BYTES_MAX;
use wasmtime::{
    Config, Engine, ExternType, FrameInfo, InstancePre, Linker, Module, Store, Trap, Val,
    WasmBacktrace,
};

use crate::vfs::{Budget, Opener, build};
use crate::wasi::{Context, Exit, Parts, add_to};

use super::limits::{GuestLimits, OutOfTime, Watch};
use super::{Job, Outcome, RuntimeEvent, guest};

/// What the guest starts with.
const START: &str = "_start";

/// Runs `job`; [`Err`] is an outcome as well: it never started.
pub(super) fn run(job: Job<'_>) -> Result<Outcome, Outcome> {
    let Job { wasm, files, config, args, env, network, clock, on } = job;
    let job = Inner { wasm, files, config, args, env, network: Box::new(network), clock, on };
    run_inner(job)
}

/// A [`Job`] over any network.
pub(super) struct Inner<'a> {
    pub(super) wasm: &'a [u8],
    pub(super) files: Vec<(String, Vec<u8>)>,
    pub(super) config: &'a types::config::Config,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) network: Box<dyn Opener>,
    pub(super) clock: crate::clock::Clock,
    pub(super) on: std::rc::Rc<dyn Fn(RuntimeEvent)>,
}

pub(super) fn run_inner(job: Inner<'_>) -> Result<Outcome, Outcome> {
    let begun = Instant::now();
    let config = job.config;
    let engine = engine(config.limits.cpu_seconds.is_some())?;
    let module = compile(&engine, job.wasm)?;
    (job.on)(RuntimeEvent::Compiled { took: begun.elapsed() });

    let budget = Budget::new(config.limits.memory_bytes);
    let root = build(job.files, &budget, job.clock.now_nanoseconds()).map_err(invalid)?;
    let args = guest::arguments(job.args).map_err(invalid)?;
    let env = guest::environment(config, job.env).map_err(invalid)?;
    let mut linker = Linker::new(&engine);
    add_to(&mut linker).map_err(internal)?;
    let table = guest::descriptors(config, &*job.network, root, guest::socket_flags(job.wasm))
        .map_err(invalid)?;
    let parts = Parts {
        args,
        env,
        table,
        network: job.network,
        clock: job.clock,
        limits: GuestLimits::new(budget),
        on: std::rc::Rc::clone(&job.on),
    };
    let mut store = Store::new(&engine, Context::new(parts));
    store.limiter(|context| &mut context.limits);
    let module = link(&linker, &mut store, &module)?;
    let _watch = match config.limits.cpu_seconds {
        Some(seconds) => Some(Watch::start(&engine, &mut store, seconds).map_err(internal)?),
        None => None,
    };
    (job.on)(RuntimeEvent::Started { after: begun.elapsed() });
    store.data_mut().started = Instant::now();
    let ended = start(&mut store, &module);
    Ok(outcome(ended, &mut store))
}

/// An engine as a Keep wants it: traps by signals and guard pages, no files or memory mappings shared with the host, and code
/// that looks at its time limit only if there is one.
fn engine(limited: bool) -> Result<Engine, Outcome> {
    let mut config = Config::new();
    config.memory_init_cow(false).max_wasm_stack(GUEST_STACK_BYTES_MAX).epoch_interruption(limited);
    Engine::new(&config).map_err(internal)
}

fn compile(engine: &Engine, wasm: &[u8]) -> Result<Module, Outcome> {
    match wasm.get(..8) {
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => {}
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => {
            return Err(invalid(
                "this is a WebAssembly component (WASI 0.2), which is not supported yet: build a core module for WASI preview 1 (`wasm32-wasip1`)",
            ));
        }
        Some([0, b'a', b's', b'm', ..]) => {
            return Err(invalid("this is WebAssembly of an unknown version: wanted version 1"));
        }
        _ => {
            return Err(invalid(
                "this is not WebAssembly: it does not begin with `\\0asm`. Wanted is a binary module (.wasm)",
            ));
        }
    }
    let module = Module::from_binary(engine, wasm)
        .map_err(|error| invalid(format!("the module is not valid: {error:#}")))?;
    match module.get_export(START) {
        Some(ExternType::Func(start)) if start.params().len() == 0 => Ok(module),
        Some(_) => {
            Err(invalid(format!("the module's `{START}` is not a function without parameters")))
        }
        None => Err(invalid(format!(
            "the module exports no function `{START}`: build it as a program (a command), not as a library or a reactor"
        ))),
    }
}

/// Gives the module what it imports, or names what is missing, before anything runs.
fn link(
    linker: &Linker<Context>,
    store: &mut Store<Context>,
    module: &Module,
) -> Result<InstancePre<Context>, Outcome> {
    let missing: Vec<_> = module
        .imports()
        .filter(|import| linker.get_by_import(&mut *store, import).is_none())
        .map(|import| (import.module().to_owned(), import.name().to_owned()))
        .collect();
    let Some((first, _name)) = missing.first() else {
        return linker
            .instantiate_pre(module)
            .map_err(|error| invalid(format!("the module cannot be linked: {error:#}")));
    };
    let hint = match first.as_str() {
        "wasi_unstable" => {
            "it was built for the WASI of 2019: build it for WASI preview 1 (`wasm32-wasip1`)"
        }
        "wasi_snapshot_preview1" => "WASI preview 1 has no such call",
        "wasi" => "threads are not supported: build it without",
        module if module.contains(':') => {
            "components are not supported yet: build it for WASI preview 1 (`wasm32-wasip1`)"
        }
        _ => "a Keep provides `wasi_snapshot_preview1` and nothing else",
    };
    let names: Vec<_> = missing
        .iter()
        .take(8)
        .map(|(module, name)| {
            let shown = |name: &str| printable(name, NAME_CHARS_MAX);
            format!("`{}.{}`", shown(module), shown(name))
        })
        .collect();
    let more =
        if missing.len() > 8 { format!(" and {} more", missing.len() - 8) } else { String::new() };
    Err(invalid(format!("the module imports {}{more}; {hint}", names.join(", "))))
}

/// Runs the guest; what `_start` returns is of no interest.
fn start(store: &mut Store<Context>, module: &InstancePre<Context>) -> wasmtime::Result<()> {
    let instance = module.instantiate(&mut *store)?;
    let function = instance
        .get_func(&mut *store, START)
        .ok_or_else(|| wasmtime::Error::msg("`_start` is gone"))?;
    let mut results = vec![Val::I32(0); function.ty(&*store).results().len()];
    function.call(&mut *store, &[], &mut results)
}

fn outcome(ended: wasmtime::Result<()>, store: &mut Store<Context>) -> Outcome {
    let context = store.data_mut();
    let refused = context.limits.refused().map(str::to_owned);
    let news = context.limits.news();
    let on = std::rc::Rc::clone(&context.on);
    let error = match ended {
        Ok(()) => return exited(0, news, &*on),
        Err(error) => error,
    };
    if let Some(Exit(code)) = error.downcast_ref() {
        return exited(*code, news, &*on);
    }
    if let Some(out) = error.downcast_ref::<OutOfTime>() {
        return Outcome::LimitReached { which: "cpu", message: out.to_string() };
    }
    let trap = describe(&error);
    match refused {
        Some(refused) => {
            let message = format!("{refused}; it then ended with: {trap}");
            Outcome::LimitReached { which: "memory", message }
        }
        None => Outcome::Trapped { message: trap },
    }
}

/// Functions of a backtrace that are shown.
const FRAMES_MAX: usize = 8;

/// A trap in one line: what happened, and in which function, called by which.
fn describe(error: &wasmtime::Error) -> String {
    let what = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    let frames =
        error.downcast_ref::<WasmBacktrace>().map(WasmBacktrace::frames).unwrap_or_default();
    let name = |frame: &FrameInfo| match frame.func_name() {
        Some(name) => format!("`{}`", printable(name, NAME_CHARS_MAX)),
        None => format!("function {}", frame.func_index()),
    };
    let names: Vec<_> = frames.iter().take(FRAMES_MAX).map(name).collect();
    let path = if names.is_empty() { String::new() } else { format!(", in {}", names.join(" < ")) };
    format!("{}{path}", printable(&what, MESSAGE_CHARS_MAX))
}

/// Characters of one name of a module that are shown.
const NAME_CHARS_MAX: usize = 80;
/// Characters of one message that are shown.
const MESSAGE_CHARS_MAX: usize = 2000;

/// What a module says, fit for the host's terminal: not too long, and without control characters.
fn printable(text: &str, chars_max: usize) -> String {
    let plain = |char: char| if char.is_control() { '\u{fffd}' } else { char };
    let mut shown: String = text.chars().take(chars_max).map(plain).collect();
    if text.chars().nth(chars_max).is_some() {
        shown.push('…');
    }
    shown
}

fn exited(code: u32, news: Option<RuntimeEvent>, on: &dyn Fn(RuntimeEvent)) -> Outcome {
    if let Some(news) = news {
        on(news);
    }
    Outcome::Exited(i32::from(code.to_le_bytes()[0]))
}

fn invalid(message: impl Into<String>) -> Outcome {
    Outcome::Invalid { message: printable(&message.into(), MESSAGE_CHARS_MAX) }
}

fn internal(error: impl std::fmt::Display) -> Outcome {
    invalid(format!("the runtime cannot start: {error:#}"))
}
