//! The guide shows the example that is compiled and tested, to the letter.

#[test]
fn the_guide_shows_the_example() {
    let guide = include_str!("../README.md");
    let example = include_str!("../examples/tokens.rs");
    let (plugin, tests) = example.split_once("#[cfg(test)]").unwrap();
    let plugin = &plugin[plugin.find("use ").unwrap()..];
    assert!(
        guide.contains(plugin.trim()),
        "the guide shows another plugin than examples/tokens.rs"
    );
    assert!(guide.contains(tests.trim()), "the guide shows other tests than examples/tokens.rs");
}

#[test]
fn a_plugin_is_some_thirty_lines() {
    let example = include_str!("../examples/tokens.rs");
    let start = example.find("struct Tokens").unwrap();
    let end = example.find("export_service!").unwrap();
    let lines =
        example[start..end].lines().filter(|line| line.len() > 1 && *line != "    }").count();
    assert!(lines <= 32, "{lines} lines");
}
