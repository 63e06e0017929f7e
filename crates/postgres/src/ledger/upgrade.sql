-- From version 1, which did not know where in a cluster a declaration stands.
ALTER TABLE ledger.tenant ADD COLUMN cluster_uid text,
    ADD COLUMN namespace_uid text CHECK ((namespace_uid IS NULL) = (cluster_uid IS NULL));
UPDATE ledger.server SET version = 2;
