//! The order of core's rooms: a folder imports from those above it in this list, and from itself.
//! A stranger finds by it what a file may touch.

use std::collections::BTreeMap;

use super::imports::Imports;

/// Core's folders and files, those first that everything stands on. What shares a line is one
/// vocabulary, whose words may use each other.
const ORDER: [&[&str]; 19] = [
    &["ids", "error", "secret", "time", "text", "link", "paging", "field", "address"],
    &["rights"],
    &["caller"],
    &["rules"],
    &["catalogue"],
    &["ports"],
    &["limits"],
    &["envelope"],
    &["keyring"],
    &["model"],
    &["access"],
    &["records"],
    &["ground"],
    &["audit"],
    &["leases"],
    &["company"],
    &["user"],
    &["session"],
    &["vault"],
];

/// Fakes of every port, for tests: they may know all of it.
const DOUBLES: &str = "doubles";

#[test]
fn no_folder_of_core_imports_from_one_below_it() {
    let rank: BTreeMap<_, _> = ORDER
        .iter()
        .enumerate()
        .flat_map(|(rank, names)| names.iter().map(move |name| (*name, rank)))
        .collect();
    let mut faults = Vec::new();
    for (module, imported) in Imports::read("daemon/core").of_module {
        let Some(room) = module.first().filter(|room| *room != DOUBLES) else { continue };
        let own = *rank.get(room.as_str()).unwrap_or_else(|| panic!("{room} has no place here"));
        for other in imported.iter().filter_map(|path| path.first()).filter(|other| *other != room)
        {
            let allowed = rank.get(other.as_str()).is_some_and(|other| *other <= own);
            if !allowed {
                faults.push(format!("{} imports from {other}", module.join("::")));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_place_in_the_order_is_taken() {
    let imports = Imports::read("daemon/core");
    for name in ORDER.iter().flat_map(|names| names.iter()) {
        assert!(imports.of_module.contains_key(&vec![(*name).to_owned()]), "core has no {name}");
    }
}
