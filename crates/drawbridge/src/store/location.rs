// SPDX-License-Identifier: Apache-2.0

//! Where a store is, as the operator writes it: a directory, or the URL of a bucket.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::key::valid_part;

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A local directory.
    Dir(PathBuf),
    /// A bucket.
    Bucket(BucketUrl),
}

/// `s3://bucket/prefix`, or the same with `gs` or `az`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketUrl {
    /// Who keeps it.
    pub provider: Provider,
    /// The bucket's name, in Azure the container's.
    pub bucket: String,
    /// What comes before all keys: parts joined by `/`, or nothing.
    pub prefix: String,
}

/// Who keeps a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Amazon S3, and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Provider {
    const ALL: [(&'static str, Self); 3] =
        [("s3", Self::S3), ("gs", Self::Gcs), ("az", Self::Azure)];

    fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        }
    }
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "" => Err("a directory, or the URL of a bucket".to_owned()),
                _ => Ok(Self::Dir(text.into())),
            };
        };
        let known = Provider::ALL.into_iter().find(|(name, _)| *name == scheme);
        let Some((_, provider)) = known else {
            return Err(format!("{scheme}:// is not known; a bucket is s3://, gs:// or az://"));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        if !valid_part(bucket) || !prefix.is_empty() && !prefix.split('/').all(valid_part) {
            return Err(format!(
                "a bucket is {scheme}://bucket/prefix, of letters, digits, and -_+. within"
            ));
        }
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        Ok(Self::Bucket(BucketUrl { provider, bucket, prefix }))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(path) => path.display().fmt(f),
            Self::Bucket(url) => url.fmt(f),
        }
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/{}", self.provider.scheme(), self.bucket, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_buckets() {
        let read = |text: &str| text.parse::<Location>();
        for dir in ["/var/lib/drawbridge", "store", "./s3:/x"] {
            assert_eq!(read(dir).unwrap(), Location::Dir(dir.into()));
        }
        for (text, provider, bucket, prefix) in [
            ("s3://b", Provider::S3, "b", ""),
            ("s3://my.bucket/a/b/", Provider::S3, "my.bucket", "a/b"),
            ("gs://b/x", Provider::Gcs, "b", "x"),
            ("az://b", Provider::Azure, "b", ""),
        ] {
            let url = BucketUrl { provider, bucket: bucket.into(), prefix: prefix.into() };
            let location = Location::Bucket(url);
            assert_eq!(read(text).unwrap(), location);
            assert_eq!(read(&location.to_string()).unwrap(), location);
        }
        for bad in ["", "s3://", "s3:///x", "http://b", "s3://b/../x", "s3://b//x", "s3://b/%2e"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
