// SPDX-License-Identifier: Apache-2.0

//! Owners of names: people and organisations, and the roles that they give, as the store has them.

use std::collections::{BTreeMap, BTreeSet};

use drawbridge_core::UserRecord;
use drawbridge_core::rights::{AccessDocument, OrgDocument, Role};
use serde::{Deserialize, Serialize};

/// Whose a name is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OwnerRecord {
    /// One person's.
    User(UserRecord),
    /// An organisation's.
    Organisation(OrgRecord),
}

/// An organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrgRecord {
    /// As its owners wrote it.
    pub organisation: OrgDocument,
    /// The subjects of those who are named. A user's record never changes, so these stay true.
    pub subjects: BTreeMap<String, String>,
}

/// Rights in one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessRecord {
    /// As its owners wrote it.
    pub access: AccessDocument,
    /// The subjects of those who are named.
    pub subjects: BTreeMap<String, String>,
}

/// The names of somebody: one person may have registered several.
fn names<'a>(subjects: &'a BTreeMap<String, String>, subject: &str) -> BTreeSet<&'a str> {
    subjects.iter().filter(|(_, own)| *own == subject).map(|(name, _)| name.as_str()).collect()
}

impl From<UserRecord> for OwnerRecord {
    fn from(user: UserRecord) -> Self {
        Self::User(user)
    }
}

impl OwnerRecord {
    /// The organisation, if it is one.
    pub const fn organisation(&self) -> Option<&OrgRecord> {
        match self {
            Self::Organisation(organisation) => Some(organisation),
            Self::User(_) => None,
        }
    }

    /// The role of a person in everything of this owner.
    pub fn role(&self, subject: &str) -> Option<Role> {
        match self {
            Self::User(user) => (user.subject == subject).then_some(Role::Owner),
            Self::Organisation(record) => {
                let names = names(&record.subjects, subject);
                let roles = record.organisation.members.iter();
                roles.filter(|(name, _)| names.contains(name.as_str())).map(|(_, role)| *role).max()
            }
        }
    }

    /// The role of a person in one repository of this owner, which may give roles itself.
    pub fn role_in(&self, subject: &str, access: Option<&AccessRecord>) -> Option<Role> {
        let everywhere = self.role(subject);
        let Some(AccessRecord { access, subjects }) = access else {
            return everywhere;
        };
        let own = names(subjects, subject);
        let users = access.users.iter().filter(|(name, _)| own.contains(name.as_str()));
        let direct = users.map(|(_, role)| *role).max();
        let by_team = self.organisation().and_then(|record| {
            let names = names(&record.subjects, subject);
            let member = |team: &String| {
                let users = record.organisation.teams.get(team);
                users.is_some_and(|users| users.iter().any(|user| names.contains(user.as_str())))
            };
            access.teams.iter().filter(|(team, _)| member(team)).map(|(_, role)| *role).max()
        });
        // None is less than any role.
        everywhere.max(direct).max(by_team)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn org() -> OwnerRecord {
        serde_json::from_str(
            r#"{"organisation":{"members":{"ann":"owner","bob":"reader","bob2":"writer"},
                "teams":{"dev":["carol","bob"],"ops":["dave"]}},
                "subjects":{"ann":"s-ann","bob":"s-bob","bob2":"s-bob","carol":"s-carol","dave":"s-dave"}}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_record_of_old_is_a_user() {
        let user: OwnerRecord = serde_json::from_str(r#"{"subject":"ann"}"#).unwrap();
        assert_eq!(user, OwnerRecord::User(UserRecord { subject: "ann".into() }));
        assert_eq!(user.role("ann"), Some(Role::Owner));
        assert_eq!(user.role("bob"), None);
        assert_eq!(serde_json::to_string(&user).unwrap(), r#"{"subject":"ann"}"#);
        for bad in [r#"{}"#, r#"{"subject":"a","organisation":{"members":{}}}"#, r#"{"subject":1}"#]
        {
            assert!(serde_json::from_str::<OwnerRecord>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_best_of_ones_roles_counts() {
        let org = org();
        assert_eq!(org.role("s-ann"), Some(Role::Owner));
        assert_eq!(org.role("s-bob"), Some(Role::Writer));
        // A team alone gives nothing, and a name is no subject.
        assert_eq!(org.role("s-carol"), None);
        assert_eq!(org.role("ann"), None);
        let access: AccessRecord = serde_json::from_str(
            r#"{"access":{"users":{"eve":"writer","carol":"reader"},"teams":{"dev":"owner","gone":"owner"}},
                "subjects":{"eve":"s-eve","carol":"s-carol"}}"#,
        )
        .unwrap();
        let role = |subject| org.role_in(subject, Some(&access));
        assert_eq!(role("s-ann"), Some(Role::Owner));
        assert_eq!(role("s-bob"), Some(Role::Owner));
        assert_eq!(role("s-carol"), Some(Role::Owner));
        assert_eq!(role("s-dave"), None);
        assert_eq!(role("s-eve"), Some(Role::Writer));
        assert_eq!(role("eve"), None);
        assert_eq!(org.role_in("s-eve", None), None);
        // A person's own repository knows no teams.
        let user = OwnerRecord::User(UserRecord { subject: "s-zoe".into() });
        assert_eq!(user.role_in("s-bob", Some(&access)), None);
        assert_eq!(user.role_in("s-eve", Some(&access)), Some(Role::Writer));
    }
}
