"""What schemathesis cannot know: how to sign in, and what exists. It loads this module by its name (SCHEMATHESIS_HOOKS)."""

import os
import random

import schemathesis

import daemon
import tally
from aim import Aim
from known import Known

_ADMIN = "alice"

# Somebody else has to exist, for what is done to others.
daemon.sign_in("bob")
# What schemathesis does not draw itself is drawn from here, from the same seed.
_random = random.Random(int(os.environ["FUZZ_SEED"]))
_known = Known(daemon.Client(_ADMIN), _random)
_aim = Aim(_known, _random, _ADMIN)


# Where a token is refused there is a new one, and the request is sent again: some requests end the session that they are sent in.
@schemathesis.auth(retry_on=[401]).apply_to(path_regex="^/v1/")
class _VaultAuth:
    def get(self, _case, _context):
        return daemon.sign_in(_ADMIN)["accessToken"]

    def set(self, case, token, _context):
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.auth(retry_on=[401]).apply_to(path_regex="^/api/")
class _ProviderAuth:
    def get(self, _case, _context):
        return daemon.provider_token(_ADMIN)

    def set(self, case, token, _context):
        case.headers["Authorization"] = f"Bearer {token}"


@schemathesis.hook
def before_call(_context, case, _kwargs):
    """Most requests are about something that exists."""
    _aim.at_what_exists(case)


@schemathesis.hook
def after_call(_context, case, response):
    """Every answer is counted and learnt from."""
    tally.count(case, response)
    _aim.learn(case, response)
    _known.learn(case, response)
