//! The bindings of contract version 0 (`credsmith:plugin@0.1.0`), made from the WIT that plugin
//! authors get.
//!
//! A later version of the contract gets a file of its own beside this one; both are then served.
//! Never here: behaviour. The imports are implemented in [`crate::capability`].

mod service_plugin {
    wasmtime::component::bindgen!({
        path: "../../plugin-sdk/wit",
        world: "service-plugin",
        imports: {
            "credsmith:plugin/http.[method]exchange.send": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: {
            "credsmith:plugin/settings.secret": crate::secrets::SecretHandle,
            "credsmith:plugin/keys.signing-key": crate::capability::keys::KeyHandle,
            "credsmith:plugin/http.response": crate::capability::http::answer::HttpResponse,
            "credsmith:plugin/http.exchange": crate::capability::http::Exchange,
            "credsmith:plugin/call.identity": crate::capability::call::IdentityHandle,
            "credsmith:plugin/call.request": crate::capability::call::RequestHandle,
        },
    });
}

mod credential_type_plugin {
    wasmtime::component::bindgen!({
        path: "../../plugin-sdk/wit",
        world: "credential-type-plugin",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "credsmith:plugin/types": super::service_plugin::credsmith::plugin::types,
            "credsmith:plugin/log": super::service_plugin::credsmith::plugin::log,
        },
    });
}

mod directory_plugin {
    wasmtime::component::bindgen!({
        path: "../../plugin-sdk/wit",
        world: "directory-plugin",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "credsmith:plugin/types": super::service_plugin::credsmith::plugin::types,
            "credsmith:plugin/log": super::service_plugin::credsmith::plugin::log,
            "credsmith:plugin/settings": super::service_plugin::credsmith::plugin::settings,
            "credsmith:plugin/http": super::service_plugin::credsmith::plugin::http,
        },
    });
}

pub(crate) use credential_type_plugin::exports::credsmith::plugin::credential_type;
pub(crate) use credential_type_plugin::{CredentialTypePlugin, CredentialTypePluginPre};
pub(crate) use directory_plugin::exports::credsmith::plugin::directory;
pub(crate) use directory_plugin::{DirectoryPlugin, DirectoryPluginPre};
pub(crate) use service_plugin::credsmith::plugin::{call, http, keys, log, settings, types};
pub(crate) use service_plugin::exports::credsmith::plugin::service;
pub(crate) use service_plugin::{ServicePlugin, ServicePluginPre};
