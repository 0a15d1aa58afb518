//! Where the daemon answers otherwise than the original, on purpose. Nothing else may differ, and
//! nothing here may be the same.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::directory;
use super::recording::{Recorded, Recording};

/// One deliberate difference.
pub(super) struct Difference {
    recordings: &'static [RangeInclusive<u32>],
    /// A defect of the original (`daemon/dialects/watts.md` section 11), or what its section 14
    /// settles.
    reason: &'static str,
    /// What we answer instead, to the last request of a recording.
    instead: &'static [Instead],
}

/// A change to a recorded answer.
enum Instead {
    Status(u16),
    Header(&'static str, &'static str),
    /// The error object with this text.
    Says(&'static str),
    /// No header of this name.
    Without(&'static str),
    /// What the recording in this file has.
    As(&'static str),
    /// Another value at this place of the body.
    At(&'static str, &'static str),
}

impl Difference {
    pub(super) fn is_about(&self, number: u32) -> bool {
        self.recordings.iter().any(|range| range.contains(&number))
    }

    /// Makes of what is recorded what we answer.
    ///
    /// # Errors
    /// A part of it is recorded so.
    pub(super) fn apply(&self, answer: &mut Recorded) -> Result<(), String> {
        for instead in self.instead {
            let before = answer.clone();
            instead.apply(answer);
            let knows = answer.headers.is_some() || !matches!(instead, Instead::Header(..));
            if knows && *answer == before {
                return Err(format!("the original answers so, too: {}", self.reason));
            }
        }
        Ok(())
    }
}

impl Instead {
    fn apply(&self, answer: &mut Recorded) {
        match self {
            Self::Status(status) => answer.status = *status,
            Self::Header(name, value) => {
                // The index has no headers.
                let Some(headers) = &mut answer.headers else { return };
                headers.retain(|(known, _)| known != name);
                headers.push(((*name).to_owned(), (*value).to_owned()));
            }
            Self::Without(name) => {
                let Some(headers) = &mut answer.headers else { return };
                headers.retain(|(known, _)| known != name);
            }
            Self::As(file) => {
                let other = Recording::read(&directory().join(file));
                *answer = other.answers.into_iter().next_back().unwrap();
            }
            Self::Says(text) => {
                let body = json!({ "result": "error", "user_msg": text });
                answer.body = Some(body.to_string().into_bytes());
            }
            Self::At(pointer, value) => {
                let mut body: Value =
                    serde_json::from_slice(answer.body.as_deref().unwrap()).unwrap();
                *body.pointer_mut(pointer).unwrap() = serde_json::from_str(value).unwrap();
                answer.body = Some(body.to_string().into_bytes());
            }
        }
    }
}

const MALFORMED: &str = "Bad request, please check all parameter";
const UNAUTHENTICATED: &str = "Authorization failed, please check the access token";

const UNAVAILABLE: &str =
    "The provider of the access token cannot be reached at the moment; please try again later.";

const TOOLTIP: &str = "\"You are not allowed to use this service. You may have to be in another group, or to \
                       sign in with a higher level of assurance. The administrators of the service can tell you \
                       more.\"";

/// All of them.
#[rustfmt::skip]
pub(super) const DIFFERENCES: &[Difference] = &[
    Difference {
        recordings: &[
            5..=5, 16..=16, 18..=22, 26..=37, 41..=41, 44..=44, 46..=57, 60..=64, 67..=68, 72..=72, 74..=84, 86..=89, 91..=94, 100..=100,
            112..=112, 117..=117, 132..=134,
        ],
        reason: "D27: every error is JSON and says so",
        instead: &[Instead::Header("content-type", "application/json")],
    },
    Difference {
        recordings: &[98..=98, 109..=109, 111..=111, 115..=116, 130..=130, 138..=138],
        reason: "D27: a 404 has the error object",
        instead: &[Instead::Says("There is no such resource.")],
    },
    Difference {
        recordings: &[103..=103, 128..=129, 131..=131],
        reason: "D27: a 404 has the error object",
        instead: &[Instead::Says("There is no such credential.")],
    },
    Difference {
        recordings: &[54..=55],
        reason: "D27: a 404 has the error object; every answer of ours has cache-control",
        instead: &[Instead::Says("There is no such resource."), Instead::Header("cache-control", "no-cache")],
    },
    Difference {
        recordings: &[139..=139],
        reason: "D27: a 406 has the error object",
        instead: &[Instead::Says("The answer is JSON; accept application/json to get it.")],
    },
    Difference {
        recordings: &[18..=18],
        reason: "D25: a content type that is none is 400",
        instead: &[Instead::Status(400), Instead::Says(MALFORMED), Instead::Header("cache-control", "no-cache")],
    },
    Difference {
        recordings: &[56..=56],
        reason: "D27: a broken percent escape is 400, and not the end of the connection",
        instead: &[Instead::Status(400), Instead::Says(MALFORMED), Instead::Header("cache-control", "no-cache")],
    },
    Difference {
        recordings: &[81..=81, 87..=87],
        reason: "D23: an unknown issuer is 401",
        instead: &[
            Instead::Status(401),
            Instead::Says(UNAUTHENTICATED),
            Instead::Header("www-authenticate", "authorization"),
        ],
    },
    Difference {
        recordings: &[104..=104],
        reason: "D20: an unknown service is 400",
        instead: &[Instead::Status(400), Instead::Says("The service is disabled or does not exist.")],
    },
    Difference {
        recordings: &[61..=62, 68..=68, 72..=72, 75..=75, 133..=133],
        reason: "D14: fixed texts, never the provider's",
        instead: &[Instead::Says(UNAUTHENTICATED)],
    },
    Difference {
        recordings: &[63..=63, 74..=74],
        reason: "D14: what cannot be a token is no token, and no provider is asked about it",
        instead: &[Instead::Says("bad_token")],
    },
    Difference {
        recordings: &[65..=66],
        reason: "section 14: the scheme of `Authorization` is in any case, and several blanks may follow it",
        instead: &[Instead::As("058-svc-ok.txt")],
    },
    Difference {
        recordings: &[79..=79],
        reason: "section 14: a provider that cannot be reached says nothing about the token",
        instead: &[
            Instead::Status(503),
            Instead::Says(UNAVAILABLE),
            Instead::Header("retry-after", "10"),
            Instead::Without("www-authenticate"),
        ],
    },
    Difference {
        recordings: &[70..=70],
        reason: "D12: nothing is believed beyond the end of a token",
        instead: &[
            Instead::Status(401),
            Instead::Says(UNAUTHENTICATED),
            Instead::Header("www-authenticate", "authorization"),
        ],
    },
    Difference {
        recordings: &[97..=97, 99..=99, 108..=108, 113..=113, 118..=125],
        reason: "what is a secret is not for any cache",
        instead: &[Instead::Header("cache-control", "no-cache, no-store")],
    },
    Difference {
        recordings: &[8..=11],
        reason: "the version is ours",
        instead: &[Instead::At("/version", concat!("\"", env!("CARGO_PKG_VERSION"), "\""))],
    },
    Difference {
        recordings: &[39..=39, 58..=58, 65..=66, 69..=69, 73..=73],
        reason: "the plugin of the disabled service has never been loaded here, so that its parameters are not known (section 1.6.4)",
        instead: &[Instead::At("/service_list/5/params", "[]")],
    },
    Difference {
        recordings: &[59..=59, 71..=71],
        reason: "the same for users who do not see the hidden service",
        instead: &[Instead::At("/service_list/4/params", "[]")],
    },
    Difference {
        recordings: &[39..=39, 58..=58, 65..=66, 69..=69, 73..=73],
        reason: "section 14: the default tooltip is in plain words",
        instead: &[
            Instead::At("/service_list/0/authz_tooltip", TOOLTIP),
            Instead::At("/service_list/1/authz_tooltip", TOOLTIP),
            Instead::At("/service_list/2/authz_tooltip", TOOLTIP),
            Instead::At("/service_list/4/authz_tooltip", TOOLTIP),
            Instead::At("/service_list/5/authz_tooltip", TOOLTIP),
            Instead::At("/service_list/6/authz_tooltip", TOOLTIP),
        ],
    },
    Difference {
        recordings: &[59..=59, 71..=71],
        reason: "the same for users who do not see the hidden service",
        instead: &[
            Instead::At("/service_list/0/authz_tooltip", TOOLTIP),
            Instead::At("/service_list/1/authz_tooltip", TOOLTIP),
            Instead::At("/service_list/2/authz_tooltip", TOOLTIP),
            Instead::At("/service_list/4/authz_tooltip", TOOLTIP),
            Instead::At("/service_list/5/authz_tooltip", TOOLTIP),
        ],
    },
    Difference {
        recordings: &[121..=121],
        reason: "D54: no provider is called `undefined`; the provider of the replay knows the name",
        instead: &[Instead::At("/credential/entries/8/value", "\"user-c5\"")],
    },
];
