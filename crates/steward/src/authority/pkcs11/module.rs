// SPDX-License-Identifier: Apache-2.0

//! The libraries of tokens. Each is loaded and initialised once for the whole process, as PKCS#11 wants it (version 2.40,
//! section 5.4), and begun anew when a token in it was lost: what a library keeps of a token that went away is of no use.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;

use super::TokenError;

/// A session that is logged in, and the key in it.
pub(super) struct Ready {
    pub(super) session: Session,
    pub(super) key: ObjectHandle,
}

/// Work that went wrong.
pub(super) struct Failure {
    pub(super) error: TokenError,
    /// Which beginning of the library it happened in; none if the library could not be begun.
    pub(super) generation: Option<u64>,
    /// Whether its session had waited, so that what it says may be old.
    pub(super) waited: bool,
}

/// A library of tokens.
pub(super) struct Module {
    path: PathBuf,
    /// Whoever calls the library holds this for reading; whoever begins it anew, for writing. Sessions exist only while it
    /// is held, or in `idle`: one of an earlier beginning must never be used or closed.
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    library: Option<Pkcs11>,
    /// How often it was begun.
    generation: u64,
    /// Sessions that nobody uses at the moment, by their key's number.
    idle: Mutex<HashMap<u64, Vec<Ready>>>,
}

impl State {
    fn idle(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Vec<Ready>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Module {
    /// The library at this path.
    pub(super) fn at(path: &Path) -> Arc<Self> {
        static MODULES: LazyLock<Mutex<HashMap<PathBuf, Arc<Module>>>> =
            LazyLock::new(Mutex::default);
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        modules
            .entry(path.to_owned())
            .or_insert_with(|| Arc::new(Self { path: path.to_owned(), state: RwLock::default() }))
            .clone()
    }

    /// Does `work` in a session of `key`: one that waits, or one that `connect` opens. A session in which work went wrong
    /// is closed.
    pub(super) fn with<T>(
        &self,
        key: u64,
        connect: impl FnOnce(&Pkcs11) -> Result<Ready, TokenError>,
        work: impl FnOnce(&Ready) -> Result<T, TokenError>,
    ) -> Result<T, Failure> {
        self.load().map_err(|error| Failure {
            error: error.into(),
            generation: None,
            waited: false,
        })?;
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let generation = Some(state.generation);
        let waiting = state.idle().get_mut(&key).and_then(Vec::pop);
        let waited = waiting.is_some();
        let failed = |error| Failure { error, generation, waited };
        let ready = match (waiting, &state.library) {
            (Some(ready), _) => ready,
            (None, Some(library)) => connect(library).map_err(failed)?,
            // Somebody else ended it this very moment.
            (None, None) => return Err(failed(TokenError::passing("the token was lost"))),
        };
        let result = work(&ready).map_err(failed)?;
        state.idle().entry(key).or_default().push(ready);
        Ok(result)
    }

    /// Closes all that waits for `key`, whose owner goes.
    pub(super) fn forget(&self, key: u64) {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        let waiting = state.idle().remove(&key);
        drop(waiting);
    }

    /// Begins the library anew, unless somebody did since `generation`.
    pub(super) fn renew(&self, generation: u64) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.generation != generation {
            return;
        }
        // Before the library forgets them.
        state.idle().clear();
        if let Some(library) = state.library.take() {
            // A library that cannot end is begun again as it is.
            let _ = library.finalize();
        }
    }

    fn load(&self) -> Result<(), Error> {
        let loaded = |state: &State| state.library.is_some();
        if loaded(&self.state.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if loaded(&state) {
            return Ok(());
        }
        let library = Pkcs11::new(&self.path)?;
        match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error),
        }
        state.library = Some(library);
        state.generation += 1;
        Ok(())
    }
}
