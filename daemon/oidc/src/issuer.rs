//! The issuer of a provider's tokens: one issuer, or one per tenant.
//!
//! Entra ID publishes one discovery document for all of its tenants. Its `issuer` then is a
//! template, and its keys sign for every tenant: the configuration lists the tenants that are
//! accepted, and the check is here.

use credsmith_core::caller::Claims;
use serde_json::Value;

use crate::error::ProviderError;

/// The placeholder of the tenant in a template.
const TENANT: &str = "{tenantid}";

/// The paths below which Entra ID publishes a document for many tenants.
const MANY_TENANTS: [&str; 2] = ["/common/v2.0", "/organizations/v2.0"];

/// The issuer template of a provider of many tenants, if `issuer` is the address of one.
pub(crate) fn template(issuer: &str) -> Option<String> {
    let bare = issuer.strip_suffix('/').unwrap_or(issuer);
    let origin = MANY_TENANTS.iter().find_map(|path| bare.strip_suffix(path))?;
    let (_, authority) = origin.split_once("://")?;
    (!authority.contains('/')).then(|| format!("{origin}/{TENANT}/v2.0"))
}

fn of_tenant(template: &str, tenant: &str) -> String {
    template.replace(TENANT, tenant)
}

/// Every issuer that tokens of a provider may name, by its configuration alone.
pub(crate) fn configured(issuer: &str, tenants: &[String]) -> Vec<String> {
    let of_tenants = template(issuer).map(|template| {
        tenants.iter().map(|tenant| of_tenant(&template, tenant)).collect::<Vec<_>>()
    });
    std::iter::once(issuer.to_owned()).chain(of_tenants.unwrap_or_default()).collect()
}

/// The issuer that Entra ID names in access tokens of version 1, such as those for its own userinfo
/// endpoint, if `issuer` is one of its tenants.
fn entra_v1(issuer: &str) -> Option<String> {
    let bare = issuer.strip_suffix('/').unwrap_or(issuer);
    let (_, tenant) = bare.strip_suffix("/v2.0")?.rsplit_once('/')?;
    Some(format!("https://sts.windows.net/{tenant}/"))
}

/// Whether access tokens of a provider may name `stated`, where `own` are its issuers and
/// `announced` is the one that it announces for access tokens. Good for refusing a token without
/// asking the provider, not for believing one.
pub(crate) fn may_be_stated(stated: &str, own: &[String], announced: Option<&str>) -> bool {
    announced == Some(stated)
        || own.iter().any(|own| {
            same_issuer(own, stated)
                || entra_v1(own).is_some_and(|alias| same_issuer(&alias, stated))
        })
}

/// Whether two issuers are equal but for one trailing slash.
pub(crate) fn same_issuer(one: &str, other: &str) -> bool {
    let bare = |issuer| -> Option<&str> { str::strip_suffix(issuer, "/") };
    bare(one).unwrap_or(one) == bare(other).unwrap_or(other)
}

/// The issuers that tokens of a provider may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Issuer {
    /// This one, spelt as in the discovery document.
    One(String),
    /// The issuer of any of these tenants.
    PerTenant {
        /// The issuer of a tenant, with the placeholder in place of its id.
        template: String,
        /// GUIDs in lower case.
        tenants: Vec<String>,
    },
}

impl Issuer {
    /// Checks the `issuer` of a discovery document against the configured issuer and tenants.
    ///
    /// # Errors
    /// For the log: it is not the configured one.
    pub(crate) fn discovered(
        stated: &str,
        configured: &str,
        tenants: &[String],
    ) -> Result<Self, ProviderError> {
        let wrong = ProviderError::new(
            "the discovery document is of another issuer than the configured one",
        );
        match template(configured) {
            Some(template) if stated == template => {
                Ok(Self::PerTenant { template, tenants: tenants.to_vec() })
            }
            None if stated.contains(TENANT) => {
                Err("the issuer in the discovery document is a template: the configured address is none for many tenants".into())
            }
            None if same_issuer(stated, configured) => Ok(Self::One(stated.to_owned())),
            Some(_) | None => Err(wrong),
        }
    }

    /// The issuer that lists of providers show: `configured` where there are many.
    pub(crate) fn shown<'a>(&'a self, configured: &'a str) -> &'a str {
        match self {
            Self::One(issuer) => issuer,
            Self::PerTenant { .. } => configured,
        }
    }

    /// Whether `issuer`, in exactly this spelling, is one of them.
    pub(crate) fn matches(&self, issuer: &str) -> bool {
        match self {
            Self::One(own) => own == issuer,
            Self::PerTenant { template, tenants } => {
                tenants.iter().any(|tenant| of_tenant(template, tenant) == issuer)
            }
        }
    }

    /// The issuer of these claims, which the provider signed.
    ///
    /// # Errors
    /// For the log: `iss` is another issuer, or its tenant is not listed, or `tid` contradicts it.
    pub(crate) fn of_claims(&self, claims: &Claims) -> Result<String, &'static str> {
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
                let own = of_tenant(template, tenant);
                if own == iss {
                    Ok(own)
                } else {
                    Err("`iss` is not the issuer of the tenant in `tid`")
                }
            }
        }
    }
}

/// The issuer that a key may sign for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Signer {
    /// The provider that publishes it.
    Publisher,
    /// This issuer only, which may be a template.
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

    /// Whether the key may have signed these claims: without this check, the key of one tenant
    /// could sign for all others.
    pub(crate) fn may_sign(&self, claims: &Claims) -> bool {
        let Self::Only(own) = self else { return true };
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let Some(iss) = text("iss") else { return false };
        if own.contains(TENANT) {
            text("tid").is_some_and(|tid| of_tenant(own, tid) == iss)
        } else {
            own == iss
        }
    }
}

#[cfg(test)]
mod tests {
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
            Issuer::discovered(stated, configured, &[T1.to_owned()])
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
    fn the_issuer_of_a_tenant_is_accepted_only_when_listed() {
        let iss = |tenant: &str| format!("https://op/{tenant}/v2.0");
        assert_eq!(entra().of_claims(&claims(json!({"iss": iss(T1), "tid": T1}))), Ok(iss(T1)));
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
            assert!(entra().of_claims(&claims(bad)).is_err(), "{attack}");
        }
        assert!(entra().matches(&iss(T1)));
        assert!(!entra().matches(&iss(T2)) && !entra().matches("https://op/{tenantid}/v2.0"));
    }

    #[test]
    fn a_provider_without_tenants_has_one_issuer() {
        let one = Issuer::One("https://op".into());
        assert_eq!(one.of_claims(&claims(json!({"iss": "https://op"}))), Ok("https://op".into()));
        for bad in [
            json!({"iss": "https://op/"}),
            json!({"iss": 7}),
            json!({}),
            json!({"iss": ["https://op"]}),
        ] {
            assert!(one.of_claims(&claims(bad.clone())).is_err(), "{bad}");
        }
        assert!(one.matches("https://op") && !one.matches("https://op/"));
    }

    #[test]
    fn the_configured_issuers_are_known_before_discovery() {
        let expected = [
            "https://op/common/v2.0".to_owned(),
            format!("https://op/{T1}/v2.0"),
            format!("https://op/{T2}/v2.0"),
        ];
        let tenants = [T1.to_owned(), T2.to_owned()];
        assert_eq!(configured("https://op/common/v2.0", &tenants), expected);
    }

    #[test]
    fn access_tokens_may_name_the_issuers_of_their_provider_alone() {
        let entra = format!("https://login.microsoftonline.com/{T1}/v2.0");
        let own = ["https://op/a".to_owned(), entra.clone()];
        let v1 = format!("https://sts.windows.net/{T1}/");
        let announced = "http://op/adfs/services/trust";
        for good in ["https://op/a", "https://op/a/", &entra, &v1, announced] {
            assert!(may_be_stated(good, &own, Some(announced)), "{good}");
        }
        let other = format!("https://sts.windows.net/{T2}/");
        for bad in ["", "https://op", "https://op/a//", "https://us", &other, announced] {
            assert!(!may_be_stated(bad, &own, None), "{bad}");
        }
    }

    #[test]
    fn one_trailing_slash_makes_no_other_issuer() {
        assert!(
            same_issuer("https://op", "https://op/") && same_issuer("https://op/", "https://op")
        );
        for other in ["https://op//", "https://op/a", "https://OP", "http://op", ""] {
            assert!(!same_issuer("https://op", other), "{other}");
        }
    }
}
