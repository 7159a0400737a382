//! Stored schemas of records, separate from the domain types.
//!
//! A record is two lines of JSON: a public one that the stream repeats, and a private one with digests and sealed
//! secrets. Fields that this version does not know are retained and written back.

mod access_key;
mod account;
mod api_key;
mod project;
pub(crate) mod stored_fields;
mod webhook;

use gatepost_domain::id::{AccessKeyId, AccountId, KeyId, ProjectId, WebhookId};
use gatepost_domain::record::Record;
use gatepost_domain::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Result, StoreErrorKind};
use crate::ops::{Image, RecordName};

/// Fields of a stored record that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnknownFields {
    public: Map<String, Value>,
    private: Map<String, Value>,
}

impl UnknownFields {
    /// Returns a copy with one more public field, as a newer version of the program would write it.
    #[must_use]
    pub fn with_public(&self, name: &str, value: impl Into<Value>) -> Self {
        let mut unknown = self.clone();
        unknown.public.insert(name.to_owned(), value.into());
        unknown
    }
}

/// Returns the name under which a record is stored.
pub(crate) fn record_name(record: &Record) -> RecordName {
    RecordName(match record {
        Record::Account(account) => account.id.to_string(),
        Record::Project(project) => project.id.to_string(),
        Record::ApiKey(key) => key.id.to_string(),
        Record::AccessKey(key) => key.id.to_string(),
        Record::Webhook(webhook) => webhook.id.to_string(),
    })
}

/// Encodes a record, with the unknown fields of the image that it replaces.
pub(crate) fn encode(record: &Record, unknown: &UnknownFields) -> Result<Image> {
    match record {
        Record::Account(account) => {
            let usable = stored_fields::usable_until(account.status, None);
            build_image("", usable, account::public(account), Map::new(), unknown)
        }
        Record::Project(project) => {
            let usable = stored_fields::usable_until(project.status, None);
            build_image(project.account.as_str(), usable, project::public(project), Map::new(), unknown)
        }
        Record::ApiKey(key) => {
            let usable = stored_fields::usable_until(key.status, key.expires_at);
            build_image(key.project.as_str(), usable, api_key::public(key)?, api_key::private(key), unknown)
        }
        Record::AccessKey(key) => {
            let usable = stored_fields::usable_until(key.status, key.expires_at);
            build_image(key.account.as_str(), usable, access_key::public(key), access_key::private(key), unknown)
        }
        Record::Webhook(webhook) => {
            let private = webhook::private(webhook);
            build_image(webhook.account.as_str(), Timestamp::MAX, webhook::public(webhook), private, unknown)
        }
    }
}

/// Encodes the public line of a record for the stream. It contains no secrets, whatever the store's format.
pub(crate) fn encode_for_stream(record: &Record) -> Result<Vec<u8>> {
    let masked = match record {
        Record::Webhook(webhook) => Record::Webhook(webhook::mask_user_secrets(webhook)),
        Record::Account(_) | Record::Project(_) | Record::ApiKey(_) | Record::AccessKey(_) => record.clone(),
    };
    encode(&masked, &UnknownFields::default()).map(|image| image.public)
}

/// Decodes a record. Without the private line, as in the stream, digests and sealed secrets are empty.
pub(crate) fn decode(name: &str, public: &[u8], private: Option<&[u8]>) -> Result<(Record, UnknownFields)> {
    let has_prefix = |prefix: &str| name.starts_with(prefix);
    let private = private.unwrap_or(b"{}");
    if has_prefix(KeyId::PREFIX) {
        decode_lines(public, private, api_key::decode)
    } else if has_prefix(ProjectId::PREFIX) {
        decode_lines(public, private, project::decode)
    } else if has_prefix(AccountId::PREFIX) {
        decode_lines(public, private, account::decode)
    } else if has_prefix(AccessKeyId::PREFIX) {
        decode_lines(public, private, access_key::decode)
    } else if has_prefix(WebhookId::PREFIX) {
        decode_lines(public, private, webhook::decode)
    } else {
        Err(StoreErrorKind::Corrupt.with(format!("{name} is not the name of a known kind of record")))
    }
}

fn build_image(
    parent: &str,
    usable_until: Timestamp,
    public: impl Serialize,
    private: impl Serialize,
    unknown: &UnknownFields,
) -> Result<Image> {
    Ok(Image {
        parent: parent.to_owned(),
        usable_until,
        public: encode_line(public, &unknown.public)?,
        private: encode_line(private, &unknown.private)?,
    })
}

fn encode_line(known: impl Serialize, unknown: &Map<String, Value>) -> Result<Vec<u8>> {
    let corrupt = |error| StoreErrorKind::Corrupt.with(error);
    if unknown.is_empty() {
        return serde_json::to_vec(&known).map_err(corrupt);
    }
    let mut value = serde_json::to_value(&known).map_err(corrupt)?;
    if let Value::Object(fields) = &mut value {
        for (name, field) in unknown {
            fields.entry(name).or_insert_with(|| field.clone());
        }
    }
    serde_json::to_vec(&value).map_err(corrupt)
}

/// A schema with the fields that it does not know.
#[derive(serde::Deserialize)]
struct WithUnknown<T> {
    #[serde(flatten)]
    known: T,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

fn decode_lines<P: DeserializeOwned, S: DeserializeOwned>(
    public: &[u8],
    private: &[u8],
    decode: impl FnOnce(P, S) -> Result<Record>,
) -> Result<(Record, UnknownFields)> {
    let public: WithUnknown<P> = decode_line(public)?;
    let private: WithUnknown<S> = decode_line(private)?;
    let record = decode(public.known, private.known)?;
    Ok((record, UnknownFields { public: public.unknown, private: private.unknown }))
}

fn decode_line<T: DeserializeOwned>(line: &[u8]) -> Result<T> {
    serde_json::from_slice(line).map_err(|error| StoreErrorKind::Corrupt.with(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use serde_json::json;

    const NUMBERS: usize = 10_000;

    #[test]
    fn numbers_in_metadata_and_unknown_fields_stay_as_they_are() {
        let mut rng = StdRng::seed_from_u64(1);
        let numbers = std::iter::repeat_with(|| f64::from_bits(rng.random())).filter(|number| number.is_finite());
        for number in numbers.take(NUMBERS) {
            let stamps =
                json!({ "created_at": 1, "created_by": "operator", "updated_at": 1, "updated_by": "operator" });
            let public = json!({
                "id": "key_00key", "account": "acc_00account", "project": "prj_00project", "env": "live", "name": "",
                "metadata": { "number": number }, "status": "active", "mask": "", "stamps": stamps, "later": number,
            });
            let (record, unknown) = decode("key_00key", public.to_string().as_bytes(), None).unwrap();
            let written: Value = serde_json::from_slice(&encode(&record, &unknown).unwrap().public).unwrap();
            assert_eq!((&written["metadata"], &written["later"]), (&public["metadata"], &public["later"]));
        }
    }
}
