//! Where a component has its time and its randomness from, and what of that its world does not
//! expect.
//!
//! A component without a source of randomness is no fault: most plugins need none. But one that
//! believes to have one, since its language came without, makes the same password for every user.
//! Never here: a refusal.

use crate::component::world::{Shape, World};

/// The import that is real randomness.
const RANDOM: &str = "wasi:random/random";
/// Randomness that a language uses for its tables; it is not fit for secrets.
const INSECURE: [&str; 2] = ["wasi:random/insecure", "wasi:random/insecure-seed"];
/// The time of day.
const WALL_CLOCK: &str = "wasi:clocks/wall-clock";
/// The time since some moment.
const MONOTONIC_CLOCK: &str = "wasi:clocks/monotonic-clock";

/// What an admin should know about a component besides its description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// A sentence about the component.
    pub text: String,
    /// Whether its world has no use for it, so that it is odd in any case.
    pub is_odd: bool,
}

/// Remarks on the time and the randomness of a component of `world`.
pub(crate) fn remarks(shape: &Shape, world: World) -> Vec<Remark> {
    let has = |interface: &str| {
        let of = |name: &String| name.split('@').next() == Some(interface);
        shape.imports.iter().any(of)
    };
    let mut remarks = Vec::new();
    match world {
        World::ServicePlugin | World::ListingServicePlugin | World::DirectoryPlugin => {
            if !has(RANDOM) {
                remarks.push(Remark { text: without_randomness(&has), is_odd: false });
            }
        }
        World::CredentialTypePlugin => {
            let undeclared = [
                (RANDOM, "randomness"),
                (INSECURE[0], "randomness"),
                (WALL_CLOCK, "a clock"),
                (MONOTONIC_CLOCK, "a clock"),
            ];
            let undeclared = undeclared.iter().filter(|(interface, _)| has(interface));
            remarks.extend(undeclared.map(|(interface, what)| Remark {
                text: format!(
                    "It has {what} ({interface}), which a {} does not declare: its answers may change although the values do not.",
                    world.as_str()
                ),
                is_odd: true,
            }));
        }
    }
    remarks
}

fn without_randomness(has: &impl Fn(&str) -> bool) -> String {
    let only = if INSECURE.iter().any(|interface| has(interface)) {
        ", only one that is not fit for secrets"
    } else {
        ""
    };
    format!(
        "It has no source of randomness ({RANDOM}){only}: if it makes passwords, keys or tokens, each of them is the same for every user. Build it with randomness then."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(world: World, imports: &[&str]) -> Vec<Remark> {
        let imports = imports.iter().map(|name| (*name).to_owned()).collect();
        remarks(&Shape { imports, exports: Vec::new() }, world)
    }

    #[test]
    fn a_service_without_randomness_is_remarked_on() {
        for world in [World::ServicePlugin, World::ListingServicePlugin, World::DirectoryPlugin] {
            let [none] = &of(world, &["credsmith:plugin/log@0.1.0"])[..] else { panic!() };
            assert!(none.text.contains("no source of randomness") && !none.is_odd);
            let [seed] = &of(world, &["wasi:random/insecure-seed@0.2.6"])[..] else { panic!() };
            assert!(seed.text.contains("not fit for secrets"), "{}", seed.text);
            assert_eq!(
                of(world, &["wasi:random/random@0.2.0", "wasi:clocks/wall-clock@0.2.0"]),
                []
            );
        }
    }

    #[test]
    fn clock_and_randomness_that_a_world_does_not_declare_are_remarked_on() {
        let world = World::CredentialTypePlugin;
        // Tables of the Rust library use the seed.
        assert_eq!(of(world, &["wasi:random/insecure-seed@0.2.6", "wasi:cli/stderr@0.2.6"]), []);
        for (import, what) in [
            ("wasi:random/random@0.2.6", "randomness"),
            ("wasi:random/insecure@0.2.6", "randomness"),
            ("wasi:clocks/wall-clock@0.2.0", "a clock"),
            ("wasi:clocks/monotonic-clock@0.2.0", "a clock"),
        ] {
            let [remark] = &of(world, &[import])[..] else { panic!("{import}") };
            assert!(remark.is_odd && remark.text.contains(what), "{}", remark.text);
        }
    }
}
