-- What takes part in a run can be told apart later than the run was made: a start that is another for
-- some cells only is a part of its own. store/computed.py names the parts of every stored run anew, so
-- that those of before are superseded.

COMMENT ON TABLE series IS
    'One row per fingerprint but for the seed; changed by a migration alone, which names its parts anew.';
