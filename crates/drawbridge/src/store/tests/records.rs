// SPDX-License-Identifier: Apache-2.0

//! Records in every place.

use super::*;

const THINGS: Kind<UserRecord> = Kind::new("things", 2);

fn thing(subject: &str) -> UserRecord {
    UserRecord { subject: subject.to_owned() }
}

#[test]
fn records_are_swapped_only_for_what_was_read() {
    for place in Place::all() {
        let store = place.open();
        let things = store.table(&THINGS);
        let name = ["ann", "x"];
        assert_eq!(things.get(&name).unwrap(), None);
        assert_eq!(things.create(&name, &thing("1")).unwrap(), Put::Created);
        let first = things.get(&name).unwrap().unwrap();
        let second = things.replace(&name, &thing("2"), &first.version).unwrap().unwrap();
        assert_eq!(things.replace(&name, &thing("3"), &first.version).unwrap(), None);
        let found = things.get(&name).unwrap().unwrap();
        assert_eq!((found.value, &found.version), (thing("2"), &second));
        things.delete(&name).unwrap();
        things.delete(&name).unwrap();
        assert_eq!(things.replace(&name, &thing("3"), &second).unwrap(), None);
        assert_eq!(things.value(&name).unwrap(), None);
        let large = thing(&"x".repeat(limits::JSON_BYTES_MAX));
        assert!(matches!(things.create(&name, &large), Err(StoreError::Quota(_))));
        assert!(matches!(things.get(&["ann", "../x"]), Err(StoreError::Name)));
    }
}

#[test]
fn no_change_of_many_at_once_is_lost() {
    for place in Place::all() {
        let stores = [place.open(), place.open_beside()];
        std::thread::scope(|scope| {
            for store in stores.iter().cycle().take(4) {
                scope.spawn(move || {
                    for _ in 0..10 {
                        let more = |old: Option<&UserRecord>| {
                            let count: u32 = old.map_or(0, |old| old.subject.parse().unwrap());
                            Ok::<_, StoreError>(Some(thing(&(count + 1).to_string())))
                        };
                        store.table(&THINGS).update(&["ann", "count"], more).unwrap();
                    }
                });
            }
        });
        assert_eq!(stores[0].table(&THINGS).value(&["ann", "count"]).unwrap(), Some(thing("40")));
    }
}

#[test]
fn names_are_listed_in_order_page_by_page() {
    for place in Place::all() {
        let store = place.open();
        let things = store.table(&THINGS);
        let mut names = Vec::new();
        for user in ["a", "a-b", "a0", "b", "B"] {
            for name in ["1", "1.0", "1-0", "2"] {
                things.create(&[user, name], &thing("x")).unwrap();
                names.push(format!("{user}/{name}.json"));
            }
        }
        names.sort();
        for page in [1, 3, 7, 100] {
            let mut found: Vec<String> = Vec::new();
            let mut after: Option<Vec<String>> = None;
            loop {
                let last: Option<Vec<&str>> =
                    after.as_ref().map(|name| name.iter().map(String::as_str).collect());
                let next = things.list(&[], last.as_deref(), page).unwrap();
                found.extend(next.iter().map(|name| format!("{}.json", name.join("/"))));
                if next.len() < page {
                    break;
                }
                after = next.last().cloned();
            }
            assert_eq!(found, names, "{page}");
        }
        let of_a = things.list(&["a"], Some(&["a", "1-0"]), 100).unwrap();
        assert_eq!(of_a, [["a", "1.0"], ["a", "1"], ["a", "2"]]);
        assert!(things.list(&["none"], None, 10).unwrap().is_empty());
    }
}
