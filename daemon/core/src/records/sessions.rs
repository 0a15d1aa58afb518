//! Sessions: their records, and when each is due for a check.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use super::encoding::{self, Unreadable};
use super::writing::Writing;
use super::{CommitError, Records, keys, next_of};
use crate::error::Error;
use crate::ids::{SessionId, UserId};
use crate::model::session::Session;
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
    /// SHA-256 of the refresh token, base64.
    #[serde(rename = "rt")]
    refresh: String,
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
    }
}

fn encode(session: &Session) -> Result<Vec<u8>, Unreadable> {
    encoding::encode(&SessionRecord {
        user: session.user.to_string(),
        session_generation: session.session_generation,
        created: session.created,
        idle: session.idle_until,
        end: session.ends,
        refresh: STANDARD_NO_PAD.encode(session.refresh),
    })
}

fn decode(id: SessionId, plain: &[u8]) -> Result<Session, Unreadable> {
    let record: SessionRecord = encoding::decode(plain)?;
    let refresh = STANDARD_NO_PAD.decode(record.refresh).map_err(encoding::unreadable)?;
    Ok(Session {
        id,
        user: UserId::parse(&record.user).map_err(encoding::unreadable)?,
        session_generation: record.session_generation,
        created: record.created,
        idle_until: record.idle,
        ends: record.end,
        refresh: refresh
            .try_into()
            .map_err(|_| encoding::unreadable("a hash has another length"))?,
    })
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
            refresh: [0; 32],
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
}
