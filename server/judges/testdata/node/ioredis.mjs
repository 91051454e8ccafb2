// What the README of ioredis does, with strings: node ioredis.mjs PORT.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import Redis from 'ioredis'

const port = Number(process.argv[2])
const redis = new Redis(port, '127.0.0.1', { connectionName: 'judge', maxRetriesPerRequest: 0 })
await redis.flushall()
assert.equal(await redis.set('mykey', 'value'), 'OK')
assert.equal(await redis.get('mykey'), 'value')
assert.equal(await redis.get('missing'), null)
assert.equal(await redis.client('GETNAME'), 'judge')
assert.equal(await redis.set('mykey', 'other', 'EX', 10, 'NX'), null)
assert.equal(await redis.set('mykey', 'hello', 'EX', 10), 'OK')
const ttl = await redis.ttl('mykey')
assert.ok(ttl > 8 && ttl <= 10, `ttl ${ttl}`)
assert.equal(await redis.incr('n'), 1)
assert.deepEqual(await redis.getBuffer('mykey'), Buffer.from('hello'))
assert.equal(await redis.mset({ k1: 'v1', k2: 'v2' }), 'OK')
assert.deepEqual(await redis.mget('k1', 'missing', 'k2'), ['v1', null, 'v2'])

// Pipelines and transactions.
assert.deepEqual(await redis.pipeline().set('foo', 'bar').get('foo').incr('foo').exec().then(r => r.map(([e, v]) => e ? e.message : v)),
	['OK', 'bar', 'ERR value is not an integer or out of range'])
assert.deepEqual(await redis.multi().set('foo', '1').incr('foo').exec(), [[null, 'OK'], [null, 2]])
const other = redis.duplicate()
await redis.watch('foo')
await other.set('foo', 'changed')
assert.equal(await redis.multi().set('foo', 'mine').exec(), null)
await assert.rejects(redis.multi().set('foo').exec(), /EXECABORT/)

// Streams of keys.
for (let i = 0; i < 50; i++) await redis.set(`scan:${i}`, i)
const seen = new Set()
for await (const keys of redis.scanStream({ match: 'scan:*', count: 7 })) keys.forEach(k => seen.add(k))
assert.equal(seen.size, 50)

// Subscriptions.
const sub = redis.duplicate()
assert.equal(await sub.subscribe('news', 'music'), 2)
const message = once(sub, 'message')
assert.equal(await redis.publish('news', 'hello'), 1)
assert.deepEqual(await message, ['news', 'hello'])
assert.equal(await sub.psubscribe('pat?ern'), 3)
const pmessage = once(sub, 'pmessage')
await redis.publish('pattern', 'by pattern')
assert.deepEqual(await pmessage, ['pat?ern', 'pattern', 'by pattern'])
assert.equal(await sub.unsubscribe('news', 'music'), 1)
for (const c of [redis, other, sub]) await c.quit()
console.log('all of ioredis')
