// SPDX-License-Identifier: Apache-2.0

//! The places that the store is tested in: a directory, a bucket in memory, and one of a real server that speaks S3.

use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use object_store::memory::InMemory;
use tempfile::TempDir;
use testkit::moto::Moto;

use super::super::cloud::{self, Connector};
use super::*;

/// Somewhere to open a store.
pub(super) struct Place {
    /// The store, or the scratch directory of a bucket's.
    pub(super) dir: TempDir,
    objects: Option<Arc<dyn ObjectStore>>,
    _server: Option<Moto>,
}

impl Place {
    pub(super) fn dir() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), objects: None, _server: None }
    }

    pub(super) fn memory() -> Self {
        Self { objects: Some(Arc::new(InMemory::new())), ..Self::dir() }
    }

    /// A bucket of moto, if that is installed.
    pub(super) fn s3() -> Option<Self> {
        let test = std::thread::current();
        let server = Moto::start("bucket", test.name().unwrap_or("store over S3")).unwrap()?;
        let objects = objects(&server);
        Some(Self { objects: Some(objects), _server: Some(server), ..Self::dir() })
    }

    pub(super) fn all() -> Vec<Self> {
        Self::quick().into_iter().chain(Self::s3()).collect()
    }

    /// Without those that take their time.
    pub(super) fn quick() -> Vec<Self> {
        vec![Self::dir(), Self::memory()]
    }

    pub(super) fn open(&self) -> Store {
        match &self.objects {
            None => Store::open(self.dir.path()).unwrap(),
            Some(_) => self.open_beside(),
        }
    }

    /// As another process has it.
    pub(super) fn open_beside(&self) -> Store {
        let Some(objects) = &self.objects else {
            return Store::open_shared(self.dir.path()).unwrap();
        };
        let (staging, lock) = Staging::scratch(self.dir.path()).unwrap();
        let bucket = Bucket::new(Arc::clone(objects), "some/prefix", staging).unwrap();
        Store { _lock: Some(lock), ..Store::in_bucket(bucket, "bucket").unwrap() }
    }

    /// Files that are not done.
    pub(super) fn temporaries(&self) -> Vec<PathBuf> {
        let mut files = files_below(self.dir.path());
        files.retain(|path| {
            let below = path.strip_prefix(self.dir.path()).unwrap().to_str().unwrap();
            below.starts_with(TEMPORARIES) || self.objects.is_some() && !below.ends_with(".lock")
        });
        files
    }
}

fn objects(server: &Moto) -> Arc<dyn ObjectStore> {
    let builder = AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_region("us-east-1")
        .with_access_key_id("test")
        .with_secret_access_key("test");
    let Ok(Location::Bucket(url)) = "s3://bucket".parse() else { panic!("a bucket") };
    let connector = Connector { roots: verify::tls::web_pki_roots() };
    cloud::s3(builder, &url, connector).unwrap()
}

#[test]
fn a_bucket_that_ignores_conditions_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    for (ignored, refused) in [(None, false), (Some("create"), true), (Some("update"), true)] {
        let objects: Arc<dyn ObjectStore> = Arc::new(Careless { inner: InMemory::new(), ignored });
        let (staging, _lock) = Staging::scratch(scratch.path()).unwrap();
        let opened = Store::in_bucket(Bucket::new(objects, "", staging).unwrap(), "it");
        assert_eq!(matches!(opened, Err(StoreError::Unconditional)), refused, "{ignored:?}");
        assert_eq!(opened.is_ok(), !refused);
    }
}

#[test]
fn buckets_of_others_are_left_alone() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let scratch = tempfile::tempdir().unwrap();
    let open = |prefix: &str| {
        let (staging, _lock) = Staging::scratch(scratch.path()).unwrap();
        Store::in_bucket(Bucket::new(Arc::clone(&objects), prefix, staging).unwrap(), "it")
    };
    assert!(open("ours").is_ok());
    assert!(open("ours").is_ok());
    assert!(matches!(open(""), Err(StoreError::ForeignBucket(_))));
    assert!(open("other").is_ok());
    let (staging, _lock) = Staging::scratch(scratch.path()).unwrap();
    let bucket = Bucket::new(Arc::clone(&objects), "ours", staging).unwrap();
    let (_, version) = bucket.read(&own("version"), 100).unwrap().unwrap();
    bucket.write(&own("version"), b"drawbridge store 3\n", When::Is(&version)).unwrap().unwrap();
    assert!(matches!(open("ours"), Err(StoreError::Version(_))));
}

/// A server that takes conditions and does not look at them.
#[derive(Debug)]
struct Careless {
    inner: InMemory,
    ignored: Option<&'static str>,
}

impl std::fmt::Display for Careless {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("careless")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Careless {
    async fn put_opts(
        &self,
        location: &object_store::path::Path,
        payload: object_store::PutPayload,
        mut options: object_store::PutOptions,
    ) -> object_store::Result<object_store::PutResult> {
        use object_store::PutMode;
        match (&options.mode, self.ignored) {
            (PutMode::Create, Some("create")) | (PutMode::Update(_), Some("update")) => {
                options.mode = PutMode::Overwrite;
            }
            _ => {}
        }
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &object_store::path::Path,
        options: object_store::PutMultipartOptions,
    ) -> object_store::Result<Box<dyn object_store::MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(
        &self,
        location: &object_store::path::Path,
        options: object_store::GetOptions,
    ) -> object_store::Result<object_store::GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: futures_util::stream::BoxStream<
            'static,
            object_store::Result<object_store::path::Path>,
        >,
    ) -> futures_util::stream::BoxStream<'static, object_store::Result<object_store::path::Path>>
    {
        self.inner.delete_stream(locations)
    }

    fn list(
        &self,
        prefix: Option<&object_store::path::Path>,
    ) -> futures_util::stream::BoxStream<'static, object_store::Result<object_store::ObjectMeta>>
    {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(
        &self,
        prefix: Option<&object_store::path::Path>,
    ) -> object_store::Result<object_store::ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &object_store::path::Path,
        to: &object_store::path::Path,
        options: object_store::CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
