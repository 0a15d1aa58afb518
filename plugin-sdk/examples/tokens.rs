//! Tokens of an API server: made under the credential's id, deleted under the credential's id.

use credsmith_plugin_sdk::prelude::*;

struct Tokens {
    api: String,
    admin: Secret,
}

impl Service for Tokens {
    fn describe() -> Description {
        Description::new("tokens", "1.0.0")
            .setting(Field::url("api").help("Where the API server is.").required())
            .setting(Field::secret("admin").help("Token of an administrator there.").required())
    }

    fn configure(settings: &Settings) -> Result<Self, Noted> {
        let (api, admin) = (settings.get("api"), settings.get("admin"));
        Ok(Self { api: api?, admin: admin? })
    }

    fn offer(&self) -> Offer {
        Offer::revocable()
    }

    fn issue(&self, request: &Request) -> Result<Outcome, NotIssued> {
        let id = request.credential_id();
        let order = json!({ "owner": request.user().subject() });
        let url = format!("{}/tokens/{id}", self.api);
        let made: Value =
            http::put(url).bearer(&self.admin).json(&order).send()?.success()?.json()?;
        let token = made.get("token").and_then(Value::as_str);
        let token = token.ok_or_else(|| NotIssued::Unsure("the answer has no token".into()))?;
        Ok(Issued::new(id).entry(Entry::text("Token", token).secret()).into())
    }

    fn revoke(&self, request: &Request, _: &Made) -> Result<(), Refusal> {
        let url = format!("{}/tokens/{}", self.api, request.credential_id());
        http::delete(url).bearer(&self.admin).send()?.success_or(&[404])?;
        Ok(())
    }
}

export_service!(Tokens);

#[cfg(test)]
mod tests {
    use credsmith_plugin_sdk::testing::{Call, Kit, Reply};

    use super::*;

    fn kit() -> Kit<Tokens> {
        Kit::new().setting("api", "https://api.example").secret("admin", "hunter2")
    }

    #[test]
    fn a_token_is_made_and_deleted() {
        let kit = kit().reply(Reply::json(201, &json!({"token": "t-1"}))).reply(Reply::status(404));
        let alice = Call::of("alice");

        let issued = kit.issued(&alice);
        assert_eq!(issued.entries[0].value, "t-1");
        assert_eq!(kit.sent()[0].header("authorization").unwrap(), "Bearer {secret:admin}");
        assert_eq!(kit.sent()[0].json()["owner"], "alice");

        // Already gone is success.
        assert_eq!(kit.revoke(&alice, &issued), Ok(()));
    }

    #[test]
    fn a_lost_answer_is_no_refusal() {
        let kit = kit().reply(Reply::lost()).reply(Reply::status(204));
        assert!(matches!(kit.issue(&Call::of("alice")), Err(NotIssued::Unsure(_))));
        // The daemon then revokes without a state.
        assert_eq!(kit.revoke_cut_short(&Call::of("alice")), Ok(()));
    }
}
