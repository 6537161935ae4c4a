-- Owner: pipeline. Views built from a log that no longer reached back far enough, and when the rows
-- that they lack will have left their windows (the greatest integer: never).
CREATE TABLE pipeline_short_view (
    view     INTEGER PRIMARY KEY,
    until_us INTEGER NOT NULL
) STRICT;
