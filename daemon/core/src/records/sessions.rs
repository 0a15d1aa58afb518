//! Sessions: their records, and when each is due for a check.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use super::encoding::{self, Unreadable};
use super::writing::Writing;
use super::{CommitError, Records, keys, next_of};
use crate::error::Error;
use crate::ids::{SessionId, UserId};
use crate::model::session::{RefreshTokens, Session, TokenHash};
use crate::ports::store::Versioned;
use crate::ports::store::{Expected, Key, Revision};
use crate::time::Timestamp;

const SESSION: &str = "session";

#[derive(Serialize, Deserialize)]
struct SessionRecord {
    user: String,
    #[serde(rename = "era")]
    session_generation: u64,
    #[serde(rename = "at")]
    created: Timestamp,
    idle: Timestamp,
    end: Timestamp,
    /// SHA-256 of the newest refresh token, base64.
    #[serde(rename = "rt")]
    refresh: String,
    /// The other refresh tokens that are good, the newest last.
    #[serde(rename = "rts", default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<String>,
    /// Those that were spent lately.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    spent: Vec<SpentRecord>,
}

#[derive(Serialize, Deserialize)]
struct SpentRecord {
    rt: String,
    at: Timestamp,
}

/// Sessions that are due for a check, each with its key in the index, and where the next page
/// begins.
pub(crate) struct DueSessions {
    pub(crate) sessions: Vec<(Key, SessionId)>,
    /// `None`: no more are due.
    pub(crate) next: Option<Key>,
}

impl Records {
    /// The session of that id.
    pub(crate) async fn session(&self, id: SessionId) -> Result<Option<Versioned<Session>>, Error> {
        let Some((plain, revision)) = self.get(&keys::session(id), SESSION).await? else {
            return Ok(None);
        };
        let session = decode(id, &plain).map_err(Error::internal)?;
        Ok(Some(Versioned { value: session, revision }))
    }

    /// The sessions of `user`, as far as their records are there. Some may be over.
    pub(crate) async fn sessions_of(&self, user: UserId) -> Result<Vec<Versioned<Session>>, Error> {
        let prefix = keys::sessions_of_prefix(user);
        let mut sessions = Vec::new();
        for id in self.scan_keys(&prefix, keys::trailing_session).await? {
            sessions.extend(self.session(id).await?.filter(|found| found.value.user == user));
        }
        Ok(sessions)
    }

    /// Sessions that are due at `now`, earliest first, at most `limit`.
    pub(crate) async fn due_sessions(
        &self,
        after: Option<&Key>,
        now: Timestamp,
        limit: usize,
    ) -> Result<DueSessions, Error> {
        let page = self.scan(&Key::new(keys::SESSION_DUE), after, limit).await?;
        let found = page.entries.len();
        let due = |key: &Key| {
            keys::parse_session_due(key).filter(|(seconds, _)| *seconds <= now.as_secs())
        };
        let sessions: Vec<_> =
            page.entries.iter().map_while(|(key, _)| Some((key.clone(), due(key)?.1))).collect();
        let next = if sessions.len() == found { next_of(page) } else { None };
        Ok(DueSessions { sessions, next })
    }

    /// Moves the check of a session from the time in `key` to a later one.
    pub(crate) async fn postpone_session(
        &self,
        key: &Key,
        id: SessionId,
        until: Timestamp,
    ) -> Result<(), CommitError> {
        let later = keys::session_due(until, id);
        if later == *key {
            return Ok(());
        }
        let mut writing = self.writing();
        writing.delete(key.clone());
        writing.index(later);
        writing.commit().await.map(drop)
    }

    /// Removes the entry of a session from the index, and the session itself if it is over and as
    /// it was read.
    pub(crate) async fn forget_session(
        &self,
        key: &Key,
        over: Option<&Versioned<Session>>,
    ) -> Result<(), CommitError> {
        let mut writing = self.writing();
        writing.delete(key.clone());
        if let Some(over) = over {
            writing.end_session(over);
        }
        writing.commit().await.map(drop)
    }
}

impl Writing<'_> {
    /// Writes a new session, and when it is due for a check.
    pub(crate) async fn begin_session(&mut self, session: &Session) -> Result<(), Error> {
        self.index(keys::session_due(session.over_at(), session.id));
        self.index(keys::session_of(session.user, session.id));
        self.put_session(session, Expected::Absent).await
    }

    /// Writes a changed session, if the record is as it was read.
    pub(crate) async fn change_session(
        &mut self,
        session: &Session,
        read: Revision,
    ) -> Result<(), Error> {
        self.put_session(session, Expected::At(read)).await
    }

    async fn put_session(&mut self, session: &Session, expected: Expected) -> Result<(), Error> {
        let key = keys::session(session.id);
        self.expect(&key, expected);
        self.put(&key, SESSION, &encode(session).map_err(Error::internal)?).await
    }

    /// Deletes a session, if it is as it was read.
    pub(crate) fn end_session(&mut self, open: &Versioned<Session>) {
        self.is_urgent();
        let key = keys::session(open.value.id);
        self.expect(&key, Expected::At(open.revision));
        self.delete(key);
        self.delete(keys::session_of(open.value.user, open.value.id));
    }
}

fn encode(session: &Session) -> Result<Vec<u8>, Unreadable> {
    let hash = |token: &TokenHash| STANDARD_NO_PAD.encode(token);
    let RefreshTokens { good, spent } = &session.refresh;
    let (newest, others) =
        good.split_last().ok_or_else(|| encoding::unreadable("a session without a token"))?;
    encoding::encode(&SessionRecord {
        user: session.user.to_string(),
        session_generation: session.session_generation,
        created: session.created,
        idle: session.idle_until,
        end: session.ends,
        refresh: hash(newest),
        others: others.iter().map(hash).collect(),
        spent: spent.iter().map(|(token, at)| SpentRecord { rt: hash(token), at: *at }).collect(),
    })
}

fn decode(id: SessionId, plain: &[u8]) -> Result<Session, Unreadable> {
    let record: SessionRecord = encoding::decode(plain)?;
    let hashes = record.others.iter().chain([&record.refresh]).map(|text| decode_hash(text));
    let spent = record.spent.iter().map(|spent| Ok((decode_hash(&spent.rt)?, spent.at)));
    Ok(Session {
        id,
        user: UserId::parse(&record.user).map_err(encoding::unreadable)?,
        session_generation: record.session_generation,
        created: record.created,
        idle_until: record.idle,
        ends: record.end,
        refresh: RefreshTokens {
            good: hashes.collect::<Result<_, _>>()?,
            spent: spent.collect::<Result<_, Unreadable>>()?,
        },
    })
}

fn decode_hash(text: &str) -> Result<TokenHash, Unreadable> {
    let bytes = STANDARD_NO_PAD.decode(text).map_err(encoding::unreadable)?;
    bytes.try_into().map_err(|_| encoding::unreadable("a hash has another length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in the record are a contract with data on disk: a renamed field has to fail here.
    #[test]
    fn a_session_comes_back_as_it_was() {
        let session = Session {
            id: SessionId::from_random([1; 16]),
            user: UserId::from_random([2; 16]),
            session_generation: 3,
            created: Timestamp::from_secs(1),
            idle_until: Timestamp::from_secs(2),
            ends: Timestamp::from_secs(3),
            refresh: RefreshTokens { good: vec![[0; 32]], spent: Vec::new() },
        };
        let plain = encode(&session).unwrap();
        assert_eq!(decode(session.id, &plain).unwrap(), session);
        let (user, hash) = (session.user, "A".repeat(43));
        assert_eq!(
            std::str::from_utf8(&plain[1..]).unwrap(),
            format!(
                r#"{{"user":"{user}","era":3,"at":1000,"idle":2000,"end":3000,"rt":"{hash}"}}"#
            )
        );
    }
    #[test]
    fn tokens_of_a_grace_come_back_as_they_were() {
        let refresh = RefreshTokens {
            good: vec![[1; 32], [2; 32]],
            spent: vec![([3; 32], Timestamp::from_secs(4))],
        };
        let session = Session {
            id: SessionId::from_random([1; 16]),
            user: UserId::from_random([2; 16]),
            session_generation: 0,
            created: Timestamp::from_secs(1),
            idle_until: Timestamp::from_secs(2),
            ends: Timestamp::from_secs(3),
            refresh,
        };
        let plain = encode(&session).unwrap();
        assert_eq!(decode(session.id, &plain).unwrap(), session);
        let hash = |token: [u8; 32]| STANDARD_NO_PAD.encode(token);
        let [newest, other, spent] = [[2; 32], [1; 32], [3; 32]].map(hash);
        let end = format!(
            r#""rt":"{newest}","rts":["{other}"],"spent":[{{"rt":"{spent}","at":4000}}]}}"#
        );
        assert!(std::str::from_utf8(&plain[1..]).unwrap().ends_with(&end));
    }
}
