-- ARGV: prefix. Every model ever served, as JSON.
return redis.call('HVALS', P .. 'models')
