#!lua flags=allow-oom
-- with: assigned
-- ARGV: prefix, "<model>@<alias>". The edition, or 0 where it was not set.
if redis.call('HDEL', assigned_key(), ARGV[2]) == 0 then return 0 end
return next_edition()
