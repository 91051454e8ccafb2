package judges

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// eachGoRedis runs a test with a client of each protocol.
func eachGoRedis(t *testing.T, f func(t *testing.T, ctx context.Context, c *redis.Client)) {
	s := start(t)
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", protocol), func(t *testing.T) {
			c := redis.NewClient(&redis.Options{Addr: s.addr, Protocol: protocol, ClientName: "judge", MaxRetries: -1})
			defer c.Close()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			ok(t, c.FlushAll(ctx).Err())
			f(t, ctx, c)
		})
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t testing.TB, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %#v, want %#v", got, want)
	}
}

// val is for calls of clients, which return a value and an error.
func val[T any](t testing.TB) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

// TestGoRedis does what the examples of go-redis do with strings, deadlines, scans, pipelines, transactions and subscriptions.
func TestGoRedis(t *testing.T) {
	eachGoRedis(t, func(t *testing.T, ctx context.Context, c *redis.Client) {
		same(t, val[string](t)(c.Ping(ctx).Result()), "PONG")
		same(t, val[string](t)(c.ClientGetName(ctx).Result()), "judge")
		if _, err := c.Get(ctx, "missing").Result(); !errors.Is(err, redis.Nil) {
			t.Fatalf("a missing key: %v", err)
		}
		ok(t, c.Set(ctx, "key", "value", time.Hour).Err())
		same(t, c.Get(ctx, "key").Val(), "value")
		if ttl := val[time.Duration](t)(c.TTL(ctx, "key").Result()); ttl <= 59*time.Minute || ttl > time.Hour {
			t.Fatalf("TTL %v", ttl)
		}
		if ttl := val[time.Duration](t)(c.PTTL(ctx, "key").Result()); ttl <= 59*time.Minute || ttl > time.Hour {
			t.Fatalf("PTTL %v", ttl)
		}
		same(t, val[time.Duration](t)(c.TTL(ctx, "missing").Result()), time.Duration(-2))
		same(t, val[bool](t)(c.SetNX(ctx, "key", "other", time.Minute).Result()), false)
		same(t, val[bool](t)(c.SetXX(ctx, "key", "other", redis.KeepTTL).Result()), true)
		same(t, val[string](t)(c.SetArgs(ctx, "key", "third", redis.SetArgs{Get: true, ExpireAt: time.Now().Add(time.Hour)}).Result()), "other")
		same(t, val[string](t)(c.GetEx(ctx, "key", time.Minute).Result()), "third")
		same(t, val[bool](t)(c.Persist(ctx, "key").Result()), true)
		same(t, val[bool](t)(c.ExpireNX(ctx, "key", time.Minute).Result()), true)
		same(t, val[bool](t)(c.ExpireGT(ctx, "key", time.Second).Result()), false)
		same(t, val[string](t)(c.GetDel(ctx, "key").Result()), "third")

		same(t, val[int64](t)(c.Incr(ctx, "n").Result()), int64(1))
		same(t, val[int64](t)(c.IncrBy(ctx, "n", 41).Result()), int64(42))
		same(t, val[float64](t)(c.IncrByFloat(ctx, "f", 0.5).Result()), 0.5)
		same(t, val[int](t)(c.Get(ctx, "n").Int()), 42)
		ok(t, c.MSet(ctx, "k1", "v1", "k2", "v2").Err())
		same(t, val[[]any](t)(c.MGet(ctx, "k1", "missing", "k2").Result()), []any{"v1", nil, "v2"})
		same(t, val[int64](t)(c.Append(ctx, "k1", "+").Result()), int64(3))
		same(t, val[string](t)(c.GetRange(ctx, "k1", 1, -1).Result()), "1+")
		same(t, val[int64](t)(c.Exists(ctx, "k1", "k1", "missing").Result()), int64(2))
		same(t, val[string](t)(c.Type(ctx, "k1").Result()), "string")
		ok(t, c.Rename(ctx, "k1", "k3").Err())
		same(t, val[int64](t)(c.Copy(ctx, "k3", "k4", 0, true).Result()), int64(1))
		lcs := val[*redis.LCSMatch](t)(c.LCS(ctx, &redis.LCSQuery{Key1: "k3", Key2: "k2", Idx: true, WithMatchLen: true}).Result())
		same(t, lcs.Len, int64(1))
		same(t, len(lcs.Matches), 1)
		same(t, val[int64](t)(c.Del(ctx, "k2", "k3", "k4", "f", "n").Result()), int64(5))
		same(t, val[int64](t)(c.DBSize(ctx).Result()), int64(0))
		if err := c.Do(ctx, "nosuchcommand").Err(); err == nil {
			t.Fatal("no error of an unknown command")
		}
	})
}

func TestGoRedisScan(t *testing.T) {
	eachGoRedis(t, func(t *testing.T, ctx context.Context, c *redis.Client) {
		const n = 333
		for i := range n {
			ok(t, c.Set(ctx, fmt.Sprintf("key:%d", i), "v", 0).Err())
		}
		ok(t, c.Set(ctx, "other", "v", 0).Err())
		seen := make(map[string]bool)
		for it := c.ScanType(ctx, 0, "key:*", 20, "string").Iterator(); it.Next(ctx); {
			seen[it.Val()] = true
		}
		same(t, len(seen), n)
		keys := val[[]string](t)(c.Keys(ctx, "key:1?").Result())
		sort.Strings(keys)
		same(t, keys, []string{"key:10", "key:11", "key:12", "key:13", "key:14", "key:15", "key:16", "key:17", "key:18", "key:19"})
	})
}

func TestGoRedisPipelines(t *testing.T) {
	eachGoRedis(t, func(t *testing.T, ctx context.Context, c *redis.Client) {
		// The counter of a rate limit, which lives as long as its window: as httprate-redis and the examples have it.
		for i := range 3 {
			var n *redis.IntCmd
			_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
				n = p.IncrBy(ctx, "limit", 1)
				p.Expire(ctx, "limit", time.Minute)
				return nil
			})
			ok(t, err)
			same(t, n.Val(), int64(i+1))
		}
		// The sessions of scs: SET with PX, GET, DEL, and all of them by SCAN.
		ok(t, c.Do(ctx, "SET", "scs:session:token", []byte{0, 255, 1}, "PX", 60000).Err())
		same(t, val[[]byte](t)(c.Get(ctx, "scs:session:token").Bytes()), []byte{0, 255, 1})
		same(t, len(val[[]string](t)(c.Keys(ctx, "scs:session:*").Result())), 1)
		ok(t, c.Del(ctx, "scs:session:token").Err())
		// A long pipeline in which one command fails.
		ok(t, c.Set(ctx, "text", "abc", 0).Err())
		p := c.Pipeline()
		var replies []*redis.IntCmd
		for range 500 {
			replies = append(replies, p.Incr(ctx, "counter"))
		}
		failing := p.Incr(ctx, "text")
		if _, err := p.Exec(ctx); err == nil {
			t.Fatal("the pipeline's failure is not there")
		}
		same(t, replies[499].Val(), int64(500))
		if err := failing.Err(); err == nil || err.Error() != "ERR value is not an integer or out of range" {
			t.Fatal(err)
		}
	})
}

// TestGoRedisWatch is the example of go-redis: counters that are incremented by a transaction that is tried again.
func TestGoRedisWatch(t *testing.T) {
	eachGoRedis(t, func(t *testing.T, ctx context.Context, c *redis.Client) {
		const workers, rounds = 10, 20
		increment := func(key string) error {
			for {
				err := c.Watch(ctx, func(tx *redis.Tx) error {
					n, err := tx.Get(ctx, key).Int()
					if err != nil && !errors.Is(err, redis.Nil) {
						return err
					}
					_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
						p.Set(ctx, key, n+1, 0)
						return nil
					})
					return err
				}, key)
				if !errors.Is(err, redis.TxFailedErr) {
					return err
				}
			}
		}
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for range rounds {
					if err := increment("counter"); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		same(t, val[int](t)(c.Get(ctx, "counter").Int()), workers*rounds)
	})
}

func TestGoRedisPubSub(t *testing.T) {
	eachGoRedis(t, func(t *testing.T, ctx context.Context, c *redis.Client) {
		ok(t, c.ConfigSet(ctx, "notify-keyspace-events", "KEA").Err())
		sub := c.Subscribe(ctx, "channel", "__keyevent@0__:expired", "__keyevent@0__:set")
		defer sub.Close()
		for range 3 {
			val[any](t)(sub.Receive(ctx))
		}
		same(t, val[int64](t)(c.Publish(ctx, "channel", "hello").Result()), int64(1))
		same(t, val[*redis.Message](t)(sub.ReceiveMessage(ctx)).Payload, "hello")
		ok(t, c.Set(ctx, "short", "v", 20*time.Millisecond).Err())
		same(t, val[*redis.Message](t)(sub.ReceiveMessage(ctx)).Channel, "__keyevent@0__:set")
		m := val[*redis.Message](t)(sub.ReceiveMessage(ctx))
		same(t, []string{m.Channel, m.Payload}, []string{"__keyevent@0__:expired", "short"})
		ok(t, sub.PSubscribe(ctx, "chan*"))
		ok(t, sub.Unsubscribe(ctx, "channel"))
		same(t, val[map[string]int64](t)(c.PubSubNumSub(ctx, "nobody").Result()), map[string]int64{"nobody": 0})
		ok(t, sub.Ping(ctx, "still there"))
		for {
			if _, pong := val[any](t)(sub.Receive(ctx)).(*redis.Pong); pong {
				break
			}
		}
		same(t, val[int64](t)(c.PubSubNumPat(ctx).Result()), int64(1))
		ok(t, c.Publish(ctx, "channel", "by pattern").Err())
		m = val[*redis.Message](t)(sub.ReceiveMessage(ctx))
		same(t, []string{m.Pattern, m.Payload}, []string{"chan*", "by pattern"})
	})
}
