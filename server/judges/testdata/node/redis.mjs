// What the README of node-redis does, with strings, in both protocols: node redis.mjs PORT.
import assert from 'node:assert/strict'
import { createClient, WatchError } from 'redis'

for (const RESP of [2, 3]) {
	const client = createClient({ url: `redis://127.0.0.1:${process.argv[2]}`, RESP, name: 'judge', socket: { reconnectStrategy: false } })
	client.on('error', err => { throw err })
	await client.connect()
	await client.flushAll()
	assert.equal(await client.set('key', 'value'), 'OK')
	assert.equal(await client.get('key'), 'value')
	assert.equal(await client.get('missing'), null)
	assert.equal(await client.clientGetName(), 'judge')
	assert.equal(await client.set('key', 'other', { expiration: { type: 'EX', value: 10 }, condition: 'NX' }), null)
	assert.equal(await client.set('key', 'other', { expiration: { type: 'PX', value: 10000 }, GET: true }), 'value')
	const ttl = await client.pTTL('key')
	assert.ok(ttl > 8000 && ttl <= 10000, `pTTL ${ttl}`)
	assert.equal(await client.getEx('key', { type: 'PERSIST' }), 'other')
	assert.equal(await client.expire('key', 100, 'NX'), 1)
	assert.equal(await client.incrByFloat('f', 1.5), '1.5')
	assert.equal(await client.sendCommand(['SET', 'raw', 'v', 'NX']), 'OK')
	await assert.rejects(client.sendCommand(['SET', 'raw']), /wrong number of arguments for 'set' command/)

	// Pipelines are commands without waiting, transactions are multi.
	assert.deepEqual(await Promise.all(Array.from({ length: 100 }, () => client.incr('n'))), Array.from({ length: 100 }, (_, i) => i + 1))
	assert.deepEqual(await client.multi().set('another', '1').get('another').exec(), ['OK', '1'])
	const other = client.duplicate()
	await other.connect()
	await client.watch('key')
	await other.set('key', 'changed')
	await assert.rejects(client.multi().set('key', 'mine').exec(), WatchError)

	for (let i = 0; i < 50; i++) await client.set(`scan:${i}`, `${i}`)
	const seen = new Set()
	for await (const keys of client.scanIterator({ MATCH: 'scan:*', TYPE: 'string', COUNT: 7 })) keys.forEach(k => seen.add(k))
	assert.equal(seen.size, 50)

	const sub = client.duplicate()
	await sub.connect()
	let arrived
	const message = new Promise(resolve => { arrived = resolve })
	await sub.subscribe('channel', (m, c) => arrived([m, c]))
	await client.publish('channel', 'message')
	assert.deepEqual(await message, ['message', 'channel'])
	const pmessage = new Promise(resolve => { arrived = resolve })
	await sub.pSubscribe('pat*', (m, c) => arrived([m, c]))
	await client.publish('pattern', 'message')
	assert.deepEqual(await pmessage, ['message', 'pattern'])
	await sub.unsubscribe('channel')
	await sub.pUnsubscribe()
	assert.equal(`${await sub.ping()}`, 'PONG')
	for (const c of [client, other, sub]) await c.close()
}
console.log('all of node-redis')
