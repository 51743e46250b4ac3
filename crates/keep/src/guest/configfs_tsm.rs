// SPDX-License-Identifier: Apache-2.0

//! Reports through configfs (Linux, `Documentation/ABI/testing/configfs-tsm-report`): a directory is made, the report data go
//! into one file of it, and the report comes out of another.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use types::limits;

use super::{
    CERTIFICATES_BYTES_MAX, GuestError, REPORT_DATA_BYTES, Statement, sev_guest, tdx_guest,
};

/// Where such directories are made.
pub const PATH: &str = "sys/kernel/config/tsm/report";
/// How often to begin anew when another program interferes.
const ATTEMPTS: u32 = 5;
/// Most bytes of a small attribute.
const ATTRIBUTE_BYTES_MAX: usize = 64;

/// A directory for one report. The kernel fills it when it is made.
trait Tree {
    fn read(&self, attribute: &str, limit: usize) -> io::Result<Vec<u8>>;
    fn write(&self, attribute: &str, bytes: &[u8]) -> io::Result<()>;
}

/// One that the kernel made; it goes with this.
struct Directory(PathBuf);

impl Directory {
    fn make(reports: &Path) -> Result<Self, GuestError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = reports.join(format!("enarx-{}-{number}", std::process::id()));
        fs::create_dir(&path)
            .map_err(|error| GuestError::File(path.display().to_string(), error))?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is empty and harmless.
        let _ = fs::remove_dir(&self.0);
    }
}

impl Tree for Directory {
    fn read(&self, attribute: &str, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        File::open(self.0.join(attribute))?.take(most).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(io::Error::other("it is larger than any"));
        }
        Ok(bytes)
    }

    fn write(&self, attribute: &str, bytes: &[u8]) -> io::Result<()> {
        // All at once: the kernel takes it when the file is closed.
        File::options().write(true).open(self.0.join(attribute))?.write_all(bytes)
    }
}

/// What came out.
#[derive(Debug, PartialEq, Eq)]
struct Output {
    provider: String,
    blob: Vec<u8>,
    auxiliary: Vec<u8>,
}

/// Asks below `root`.
///
/// # Errors
/// [`GuestError`]; a file's error is `ENXIO` if the kernel has no TEE to ask.
pub(super) fn statement(
    root: &Path,
    report_data: &[u8; REPORT_DATA_BYTES],
) -> Result<Statement, GuestError> {
    let directory = Directory::make(&root.join(PATH))?;
    let name = directory.0.display().to_string();
    judge(ask(&directory, &name, report_data)?, report_data)
}

/// One report, not mixed with what others ask at the same place.
fn ask(
    tree: &impl Tree,
    name: &str,
    report_data: &[u8; REPORT_DATA_BYTES],
) -> Result<Output, GuestError> {
    let failed = |attribute: &str, error| GuestError::File(format!("{name}/{attribute}"), error);
    let read = |attribute: &str, limit| {
        tree.read(attribute, limit).map_err(|error| failed(attribute, error))
    };
    let generation = || -> Result<u64, GuestError> {
        let text = read("generation", ATTRIBUTE_BYTES_MAX)?;
        let number = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok());
        number.ok_or_else(|| GuestError::Wrong("its generation is no number".to_owned()))
    };
    let text = read("provider", ATTRIBUTE_BYTES_MAX)?;
    let provider = String::from_utf8_lossy(&text).trim().to_owned();
    for _ in 0..ATTEMPTS {
        let before = generation()?;
        tree.write("inblob", report_data).map_err(|error| failed("inblob", error))?;
        let blob = match tree.read("outblob", limits::ATTESTATION_BYTES_MAX) {
            // Somebody wrote in between.
            Err(error) if error.raw_os_error() == Some(nix::libc::EWOULDBLOCK) => continue,
            other => other.map_err(|error| failed("outblob", error))?,
        };
        // Older kernels and some TEEs have none.
        let auxiliary = match tree.read("auxblob", CERTIFICATES_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(|error| failed("auxblob", error))?,
        };
        // It counts what is written: ours, and nobody else's.
        if generation()? == before.wrapping_add(1) {
            return Ok(Output { provider, blob, auxiliary });
        }
    }
    Err(GuestError::Raced)
}

fn judge(output: Output, report_data: &[u8; REPORT_DATA_BYTES]) -> Result<Statement, GuestError> {
    let Output { provider, blob, auxiliary } = output;
    match provider.as_str() {
        "sev_guest" => {
            sev_guest::check(&blob, report_data)?;
            let certificates = sev_guest::certificates(&auxiliary)?;
            Ok(Statement::Snp { report: blob, certificates })
        }
        "tdx_guest" => {
            tdx_guest::check_quote(&blob, report_data)?;
            Ok(Statement::TdxQuote(blob))
        }
        _ => Ok(Statement::Other { provider: provider.escape_debug().to_string(), blob }),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// As the kernel behaves, with a TEE of the test's making.
    struct Fake {
        provider: &'static str,
        generation: Cell<u64>,
        written: RefCell<Vec<u8>>,
        /// How many times somebody else writes in between.
        races: Cell<u32>,
        /// Whether the kernel notices.
        noticed: bool,
        aux: Option<Vec<u8>>,
        quote_at: usize,
        length: usize,
    }

    impl Fake {
        fn new(provider: &'static str) -> Self {
            let (quote_at, length) =
                if provider == "tdx_guest" { (568, 4_000) } else { (80, 1_184) };
            Self {
                provider,
                generation: Cell::new(7),
                written: RefCell::default(),
                races: Cell::new(0),
                noticed: true,
                aux: None,
                quote_at,
                length,
            }
        }
    }

    impl Tree for Fake {
        fn read(&self, attribute: &str, limit: usize) -> io::Result<Vec<u8>> {
            let bytes = match attribute {
                "provider" => format!("{}\n", self.provider).into_bytes(),
                "generation" => format!("{}\n", self.generation.get()).into_bytes(),
                "auxblob" => self.aux.clone().ok_or(io::ErrorKind::NotFound)?,
                "outblob" => {
                    if self.races.get() > 0 {
                        self.races.set(self.races.get() - 1);
                        self.generation.set(self.generation.get() + 1);
                        self.written.replace(vec![0xee; 64]);
                        if self.noticed {
                            return Err(io::Error::from_raw_os_error(nix::libc::EWOULDBLOCK));
                        }
                    }
                    let mut blob = vec![0; self.length];
                    blob[..4].copy_from_slice(if self.quote_at == 80 {
                        &[3, 0, 0, 0]
                    } else {
                        &[4, 0, 2, 0]
                    });
                    blob[4..8].copy_from_slice(&[0x81, 0, 0, 0]);
                    blob[self.quote_at..self.quote_at + 64].copy_from_slice(&self.written.borrow());
                    blob
                }
                _ => return Err(io::ErrorKind::NotFound.into()),
            };
            assert!(limit >= 64);
            Ok(bytes)
        }

        fn write(&self, attribute: &str, bytes: &[u8]) -> io::Result<()> {
            assert_eq!((attribute, bytes.len()), ("inblob", 64));
            self.generation.set(self.generation.get() + 1);
            self.written.replace(bytes.to_vec());
            Ok(())
        }
    }

    fn statement_of(fake: &Fake) -> Result<Statement, GuestError> {
        judge(ask(fake, "x", &[5; 64])?, &[5; 64])
    }

    #[test]
    fn each_tee_answers() {
        let statement = statement_of(&Fake::new("sev_guest")).unwrap();
        assert!(matches!(&statement, Statement::Snp { report, certificates }
            if report.len() == 1_184 && certificates.is_empty()));
        let statement = statement_of(&Fake::new("tdx_guest")).unwrap();
        assert!(matches!(&statement, Statement::TdxQuote(quote) if quote.len() == 4_000));
        let statement = statement_of(&Fake::new("arm\u{1b}_cca")).unwrap();
        assert!(
            matches!(statement, Statement::Other { provider, .. } if provider == "arm\\u{1b}_cca")
        );
    }

    #[test]
    fn others_at_the_same_place_are_noticed() {
        for noticed in [true, false] {
            let fake = Fake { noticed, races: Cell::new(2), ..Fake::new("sev_guest") };
            assert!(statement_of(&fake).is_ok(), "{noticed}");
            let fake = Fake { noticed, races: Cell::new(100), ..Fake::new("sev_guest") };
            assert!(matches!(statement_of(&fake), Err(GuestError::Raced)), "{noticed}");
        }
    }

    #[test]
    fn wrong_answers_are_refused() {
        for change in [
            (|fake| fake.length = 1_183) as fn(&mut Fake),
            |fake| fake.quote_at = 84,
            |fake| fake.provider = "tdx_guest",
            |fake| fake.aux = Some(vec![1; 25]),
        ] {
            let mut fake = Fake::new("sev_guest");
            change(&mut fake);
            assert!(matches!(statement_of(&fake), Err(GuestError::Wrong(_))));
        }
    }

    #[test]
    fn a_directory_is_made_and_goes() {
        let root = tempfile::tempdir().unwrap();
        let reports = root.path().join(PATH);
        fs::create_dir_all(&reports).unwrap();
        let directory = Directory::make(&reports).unwrap();
        let attribute = directory.0.join("provider");
        File::create(&attribute).unwrap().write_all(&[b'x'; 65]).unwrap();
        assert!(directory.read("provider", 64).is_err());
        assert_eq!(directory.read("provider", 65).unwrap(), [b'x'; 65]);
        assert!(directory.write("inblob", &[0; 64]).is_err());
        fs::remove_file(attribute).unwrap();
        drop(directory);
        assert_eq!(fs::read_dir(&reports).unwrap().count(), 0);
        // Files that nobody fills: an error that names one, and no directory is left.
        let error = statement(root.path(), &[0; 64]).unwrap_err();
        assert!(matches!(&error, GuestError::File(path, _) if path.ends_with("/provider")));
        assert_eq!(fs::read_dir(&reports).unwrap().count(), 0);
    }
}
