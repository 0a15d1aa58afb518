//! `credsmith plugin`: describes a component, and the plugins of a configuration.
//!
//! Text of a plugin is printed with unruly characters escaped: it may contain sequences that
//! control a terminal, or turn a line around.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use credsmith_core::ports::plugins::{LoadedService, Parameter, PluginIdentity};
use credsmith_core::text::on_one_line;
use credsmith_host::{Described, Description, Field, Host, HostOptions, Inspection};

use crate::config::{Config, Loaded, Plugin, Plugins};
use crate::failure::Failure;
use crate::sentence::as_sentence;
use crate::{console, wire_up};

/// Prints a description of the component at `path`; `bundled:NAME` is one that is built in.
pub(crate) async fn inspect(path: &Path) -> Result<(), Failure> {
    let plugin = match path.to_str().and_then(|text| text.strip_prefix("bundled:")) {
        Some(name) => Plugin::Bundled(name.to_owned()),
        None => Plugin::File(path.to_owned()),
    };
    let source = wire_up::component(&plugin).map_err(|why| Failure::run(as_sentence(&why)))?;
    let compiler = wire_up::compiler(&Plugins::default());
    let inspection = credsmith_host::inspect(source.bytes, &source.origin, Some(compiler)).await;
    console::print(describe(&inspection.map_err(Failure::error)?).trim_end());
    Ok(())
}

/// Loads the plugins of a configuration and prints what each service offers. It serves nothing and
/// touches no data but compiled components.
///
/// # Errors
/// When some service cannot be loaded, after all have been printed.
pub(crate) async fn list(loaded: Loaded) -> Result<(), Failure> {
    let host = host(&loaded.config)?;
    let outcomes = wire_up::load_each(&host, &loaded.config).await;
    let mut text = String::new();
    let mut broken = 0;
    for (id, outcome) in &outcomes {
        match outcome {
            Ok(service) => text.push_str(&offer(id.as_str(), service)),
            Err(why) => {
                broken += 1;
                let _ = writeln!(text, "{id}: cannot be loaded: {}", plain(&why.to_string()));
            }
        }
    }
    console::print(text.trim_end());
    match broken {
        0 => Ok(()),
        1 => Err(Failure::run("One service cannot be loaded.")),
        _ => Err(Failure::run(format!("{broken} services cannot be loaded."))),
    }
}

/// A host with the compiled components of the daemon, where there are some that this user may use:
/// another user has none, and makes none.
pub(super) fn host(config: &Config) -> Result<Host, Failure> {
    let options = wire_up::host_options(config, wire_up::artefact_key(config));
    let artefacts = config.data.artefacts();
    if artefacts.is_dir() {
        let kept = HostOptions { artefacts: Some(artefacts), ..options.clone() };
        if let Ok(host) = Host::new(kept) {
            return Ok(host);
        }
    }
    Host::new(options).map_err(Failure::error)
}

fn offer(id: &str, service: &LoadedService) -> String {
    let plugin = &service.plugin;
    let mut text =
        format!("{id}: {} {}, sha256 {}\n", plugin.name, plain(&plugin.version), plugin.digest);
    let revoke = if service.offer.can_revoke {
        "can be revoked"
    } else {
        "cannot be revoked before it ends"
    };
    let _ = writeln!(text, "  what it issues {revoke}");
    for (place, set) in service.offer.parameter_sets.iter().enumerate() {
        let parameters: Vec<_> = set.iter().map(parameter).collect();
        let parameters =
            if parameters.is_empty() { "none".to_owned() } else { parameters.join(", ") };
        let _ = writeln!(text, "  parameters, set {}: {parameters}", place + 1);
    }
    text
}

fn parameter(parameter: &Parameter) -> String {
    let required = if parameter.required { "" } else { ", optional" };
    format!("{} ({}{required})", plain(&parameter.key), plain(&parameter.kind))
}

fn describe(inspection: &Inspection) -> String {
    let mut text =
        format!("world    {}\nsha256   {}\n", inspection.world.as_str(), inspection.digest);
    match &inspection.described {
        Described::Service(description) | Described::Directory(description) => {
            text.push_str(&configurable(description));
        }
        Described::CredentialType(description) => {
            let PluginIdentity { name, version, .. } = &description.identity;
            let _ = writeln!(text, "name     {name} {}", plain(version));
        }
    }
    for remark in &inspection.remarks {
        let _ = writeln!(text, "remark   {}", plain(&remark.text));
    }
    for (title, names) in [("imports", &inspection.imports), ("exports", &inspection.exports)] {
        let _ = writeln!(text, "{title}");
        for name in names {
            let _ = writeln!(text, "  {}", plain(name));
        }
    }
    text
}

/// A plugin that takes settings.
fn configurable(description: &Description) -> String {
    let mut text = format!("name     {} {}\n", description.name, plain(&description.version));
    if let Some(contact) = &description.contact {
        let _ = writeln!(text, "contact  {}", plain(contact));
    }
    text.push_str("settings\n");
    for field in &description.settings {
        text.push_str(&setting(field));
    }
    if description.open_settings {
        text.push_str("  and any others\n");
    } else if description.settings.is_empty() {
        text.push_str("  none\n");
    }
    text
}

fn setting(field: &Field) -> String {
    let mut text = format!("  {} ({}", plain(&field.key), plain(&field.kind));
    match &field.default {
        Some(default) => {
            let _ = write!(text, ", default \"{}\"", plain(default));
        }
        None if field.required => text.push_str(", required"),
        None => {}
    }
    let choices: Vec<_> = field.choices.iter().map(|choice| plain(choice)).collect();
    if !choices.is_empty() {
        let _ = write!(text, ", one of {}", choices.join(", "));
    }
    let _ = writeln!(text, "): {}", plain(&field.label));
    if !field.help.is_empty() {
        let _ = writeln!(text, "      {}", plain(&field.help));
    }
    text
}

/// Text of a plugin on one line: unruly characters are escaped.
fn plain(text: &str) -> Cow<'_, str> {
    on_one_line(text)
}
