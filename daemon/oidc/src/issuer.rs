//! Whose word a token is: the issuer of a provider, or the template of one that has an issuer per
//! tenant.
//!
//! Entra ID publishes one discovery document for all of its tenants. Its `issuer` then is a
//! template, and its keys are those of everybody: who may come in is decided here, by the tenants
//! that the configuration lists.

use credsmith_core::caller::Claims;
use serde_json::Value;

use crate::options::{ProviderOptions, same_issuer};
use crate::trouble::Trouble;

/// What stands in a template in place of the tenant.
const TENANT: &str = "{tenantid}";

/// Below which paths Entra ID publishes a document for many tenants.
const MANY_TENANTS: [&str; 2] = ["/common/v2.0", "/organizations/v2.0"];

/// The issuer template of a provider of many tenants, if `issuer` is the address of one.
pub(crate) fn template(issuer: &str) -> Option<String> {
    let bare = issuer.strip_suffix('/').unwrap_or(issuer);
    let origin = MANY_TENANTS.iter().find_map(|path| bare.strip_suffix(path))?;
    let (_, authority) = origin.split_once("://")?;
    (!authority.contains('/')).then(|| format!("{origin}/{TENANT}/v2.0"))
}

fn filled(template: &str, tenant: &str) -> String {
    template.replace(TENANT, tenant)
}

/// Every issuer whose word a provider with these options may bring, before anything is discovered.
pub(crate) fn configured(options: &ProviderOptions) -> Vec<String> {
    let tenants = template(options.issuer()).map(|template| {
        options.tenants.iter().map(|tenant| filled(&template, tenant)).collect::<Vec<_>>()
    });
    std::iter::once(options.issuer().to_owned()).chain(tenants.unwrap_or_default()).collect()
}

/// As whom a provider may speak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Issuer {
    /// As this one, spelt as in the discovery document.
    One(String),
    /// As any of these tenants.
    PerTenant {
        /// How the tenants' issuers are made.
        template: String,
        /// GUIDs in lower case.
        tenants: Vec<String>,
    },
}

impl Issuer {
    /// Judges the `issuer` of a discovery document.
    ///
    /// # Errors
    /// For the log: it is not the configured one.
    pub(crate) fn discovered(stated: &str, options: &ProviderOptions) -> Result<Self, Trouble> {
        let wrong =
            Trouble::new("the discovery document is of another issuer than the configured one");
        match template(options.issuer()) {
            Some(template) if stated == template => {
                Ok(Self::PerTenant { template, tenants: options.tenants.clone() })
            }
            None if stated.contains(TENANT) => {
                Err("the issuer in the discovery document is a template: the configured address is none for many tenants".into())
            }
            None if same_issuer(stated, options.issuer()) => Ok(Self::One(stated.to_owned())),
            Some(_) | None => Err(wrong),
        }
    }

    /// What lists show: a tenant's issuer would be only one of them.
    pub(crate) fn shown<'a>(&'a self, options: &'a ProviderOptions) -> &'a str {
        match self {
            Self::One(issuer) => issuer,
            Self::PerTenant { .. } => options.issuer(),
        }
    }

    /// Whether the provider may speak as `issuer`, spelt like this.
    pub(crate) fn is(&self, issuer: &str) -> bool {
        match self {
            Self::One(own) => own == issuer,
            Self::PerTenant { template, tenants } => {
                tenants.iter().any(|tenant| filled(template, tenant) == issuer)
            }
        }
    }

    /// As whom the provider made these claims, which it signed.
    ///
    /// # Errors
    /// For the log: `iss` is not its own, or is that of no tenant that is listed, or `tid` says
    /// otherwise.
    pub(crate) fn of(&self, claims: &Claims) -> Result<String, &'static str> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let iss = text("iss").ok_or("`iss` is missing or no string")?;
        match self {
            Self::One(own) if own == iss => Ok(own.clone()),
            Self::One(_) => Err("`iss` is another issuer"),
            Self::PerTenant { template, tenants } => {
                let tid = text("tid").ok_or("`tid` is missing or no string")?;
                let tenant = tenants
                    .iter()
                    .find(|tenant| *tenant == tid)
                    .ok_or("the tenant is not listed")?;
                let own = filled(template, tenant);
                if own == iss {
                    Ok(own)
                } else {
                    Err("`iss` is not the issuer of the tenant in `tid`")
                }
            }
        }
    }
}

/// For whom a key may sign.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    /// For whoever publishes it.
    Publisher,
    /// For this issuer only, which may be a template.
    Only(String),
}

impl Signer {
    /// Reads the member `issuer` of a published key. `None` for one that cannot be understood: such
    /// a key is not used.
    pub(crate) fn of_key(issuer: Option<&Value>) -> Option<Self> {
        match issuer {
            None => Some(Self::Publisher),
            Some(Value::String(issuer)) => Some(Self::Only(issuer.clone())),
            Some(_) => None,
        }
    }

    /// Whether the key may have signed these claims: were it not asked, the key of one tenant would
    /// open all others.
    pub(crate) fn may_sign(&self, claims: &Claims) -> bool {
        let Self::Only(own) = self else { return true };
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let Some(iss) = text("iss") else { return false };
        if own.contains(TENANT) {
            text("tid").is_some_and(|tid| filled(own, tid) == iss)
        } else {
            own == iss
        }
    }
}

#[cfg(test)]
mod tests {
    use credsmith_core::ids::ProviderId;
    use serde_json::json;

    use super::*;

    const T1: &str = "11111111-1111-4111-8111-111111111111";
    const T2: &str = "22222222-2222-4222-8222-222222222222";

    fn entra() -> Issuer {
        Issuer::PerTenant {
            template: "https://op/{tenantid}/v2.0".into(),
            tenants: vec![T1.into()],
        }
    }

    fn claims(value: Value) -> Claims {
        let Value::Object(claims) = value else { panic!("no object: {value}") };
        claims
    }

    #[test]
    fn only_the_addresses_for_many_tenants_make_a_template() {
        for many in
            ["https://op/common/v2.0", "https://op/organizations/v2.0", "https://op/common/v2.0/"]
        {
            assert_eq!(template(many).as_deref(), Some("https://op/{tenantid}/v2.0"), "{many}");
        }
        assert_eq!(
            template("http://[::1]:80/common/v2.0").as_deref(),
            Some("http://[::1]:80/{tenantid}/v2.0")
        );
        for one in [
            "https://op",
            "https://op/common",
            "https://op/v2.0",
            "https://op/realms/common/v2.0",
            "https://op/consumers/v2.0",
            &format!("https://op/{T1}/v2.0"),
            "/common/v2.0",
        ] {
            assert_eq!(template(one), None, "{one}");
        }
    }

    #[test]
    fn a_document_is_of_the_configured_issuer_or_of_its_template() {
        let discovered = |configured: &str, stated: &str| {
            let mut options =
                ProviderOptions::new(ProviderId::parse("op").unwrap(), configured, "us");
            options.tenants = vec![T1.to_owned()];
            Issuer::discovered(stated, &options)
        };
        assert_eq!(discovered("https://op/common/v2.0", "https://op/{tenantid}/v2.0"), Ok(entra()));
        assert_eq!(
            discovered("https://op/a/", "https://op/a"),
            Ok(Issuer::One("https://op/a".into()))
        );
        for (configured, stated) in [
            ("https://op/common/v2.0", "https://op/common/v2.0"),
            ("https://op/common/v2.0", "https://op/{tenantid}/v2.0/"),
            ("https://op/common/v2.0", "https://evil/{tenantid}/v2.0"),
            ("https://op/common/v2.0", &format!("https://op/{T1}/v2.0")),
            ("https://op", "https://op/{tenantid}/v2.0"),
            ("https://op/{tenantid}/v2.0", "https://op/{tenantid}/v2.0"),
            ("https://op", "https://evil"),
        ] {
            assert!(discovered(configured, stated).is_err(), "{configured} {stated}");
        }
    }

    #[test]
    fn a_tenant_speaks_for_itself_and_only_when_listed() {
        let iss = |tenant: &str| format!("https://op/{tenant}/v2.0");
        assert_eq!(entra().of(&claims(json!({"iss": iss(T1), "tid": T1}))), Ok(iss(T1)));
        for (attack, bad) in [
            ("not listed", json!({"iss": iss(T2), "tid": T2})),
            ("a listed tenant's issuer, another's tid", json!({"iss": iss(T1), "tid": T2})),
            ("another's issuer, a listed tid", json!({"iss": iss(T2), "tid": T1})),
            (
                "the template itself",
                json!({"iss": "https://op/{tenantid}/v2.0", "tid": "{tenantid}"}),
            ),
            (
                "the template with a listed tid",
                json!({"iss": "https://op/{tenantid}/v2.0", "tid": T1}),
            ),
            ("no tid", json!({"iss": iss(T1)})),
            ("no iss", json!({"tid": T1})),
            ("a tid that is a list", json!({"iss": iss(T1), "tid": [T1]})),
            ("another host", json!({"iss": format!("https://evil/{T1}/v2.0"), "tid": T1})),
            ("a slash more", json!({"iss": format!("https://op/{T1}/v2.0/"), "tid": T1})),
        ] {
            assert!(entra().of(&claims(bad)).is_err(), "{attack}");
        }
        assert!(entra().is(&iss(T1)));
        assert!(!entra().is(&iss(T2)) && !entra().is("https://op/{tenantid}/v2.0"));
    }

    #[test]
    fn a_provider_without_tenants_speaks_as_itself() {
        let one = Issuer::One("https://op".into());
        assert_eq!(one.of(&claims(json!({"iss": "https://op"}))), Ok("https://op".into()));
        for bad in [
            json!({"iss": "https://op/"}),
            json!({"iss": 7}),
            json!({}),
            json!({"iss": ["https://op"]}),
        ] {
            assert!(one.of(&claims(bad.clone())).is_err(), "{bad}");
        }
        assert!(one.is("https://op") && !one.is("https://op/"));
    }

    #[test]
    fn what_may_be_said_is_known_before_discovery() {
        let mut options =
            ProviderOptions::new(ProviderId::parse("op").unwrap(), "https://op/common/v2.0", "us");
        options.tenants = vec![T1.to_owned(), T2.to_owned()];
        let expected = [
            "https://op/common/v2.0".to_owned(),
            format!("https://op/{T1}/v2.0"),
            format!("https://op/{T2}/v2.0"),
        ];
        assert_eq!(configured(&options), expected);
    }
}
