package judges

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
)

// TestRueidis does what the README of rueidis does, with RESP3 and with RESP2. The cache of the client is off in both: it needs
// CLIENT TRACKING, which ebbd refuses, so that TestRueidisCache is about how it does.
func TestRueidis(t *testing.T) {
	s := start(t)
	for _, resp2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("RESP2=%v", resp2), func(t *testing.T) {
			c, err := rueidis.NewClient(rueidis.ClientOption{
				InitAddress: []string{s.addr}, AlwaysRESP2: resp2, DisableCache: true, ClientName: "judge", ForceSingleClient: true,
			})
			ok(t, err)
			defer c.Close()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			ok(t, c.Do(ctx, c.B().Flushall().Build()).Error())
			ok(t, c.Do(ctx, c.B().Set().Key("key").Value("val").Nx().Ex(time.Hour).Build()).Error())
			err = c.Do(ctx, c.B().Set().Key("key").Value("val").Nx().Build()).Error()
			same(t, rueidis.IsRedisNil(err), true)
			same(t, val[string](t)(c.Do(ctx, c.B().Get().Key("key").Build()).ToString()), "val")
			same(t, rueidis.IsRedisNil(c.Do(ctx, c.B().Get().Key("missing").Build()).Error()), true)
			// Pipelines by themselves: many goroutines share a connection.
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					for range 20 {
						if err := c.Do(ctx, c.B().Incr().Key("counter").Build()).Error(); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			same(t, val[int64](t)(c.Do(ctx, c.B().Get().Key("counter").Build()).AsInt64()), int64(1000))
			var commands rueidis.Commands
			for i := range 100 {
				commands = append(commands, c.B().Set().Key(fmt.Sprint("multi:", i)).Value("v").Build())
			}
			for _, r := range c.DoMulti(ctx, commands...) {
				ok(t, r.Error())
			}
			m, err := rueidis.MGet(c, ctx, []string{"multi:1", "missing"})
			ok(t, err)
			same(t, len(m), 2)
			entry, err := c.Do(ctx, c.B().Scan().Cursor(0).Match("multi:*").Count(1000).Build()).AsScanEntry()
			ok(t, err)
			same(t, len(entry.Elements), 100)
			// A transaction on a connection of its own.
			ok(t, c.Dedicated(func(d rueidis.DedicatedClient) error {
				ok(t, d.Do(ctx, d.B().Watch().Key("key").Build()).Error())
				for _, r := range d.DoMulti(ctx, d.B().Multi().Build(), d.B().Set().Key("key").Value("2").Build(), d.B().Exec().Build()) {
					ok(t, r.Error())
				}
				return nil
			}))
			rueidisPubSub(t, ctx, c)
		})
	}
}

func rueidisPubSub(t *testing.T, ctx context.Context, c rueidis.Client) {
	d, cancel := c.Dedicate()
	defer cancel()
	got := make(chan rueidis.PubSubMessage, 1)
	subscribed := make(chan struct{})
	wait := d.SetPubSubHooks(rueidis.PubSubHooks{
		OnMessage:      func(m rueidis.PubSubMessage) { got <- m },
		OnSubscription: func(rueidis.PubSubSubscription) { close(subscribed) },
	})
	d.Do(ctx, d.B().Subscribe().Channel("channel").Build())
	select {
	case <-subscribed:
	case err := <-wait:
		t.Fatal(err)
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
	ok(t, c.Do(ctx, c.B().Publish().Channel("channel").Message("hello").Build()).Error())
	select {
	case m := <-got:
		same(t, m.Message, "hello")
	case err := <-wait:
		t.Fatal(err)
	case <-ctx.Done():
		t.Fatal(ctx.Err())
	}
}

// TestRueidisCache asks for the client's cache, as a program does that was written for Redis. Redis has it; ebbd says that it
// has not, and the client says so instead of serving what is old.
func TestRueidisCache(t *testing.T) {
	s := start(t)
	c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.addr}, ForceSingleClient: true})
	if judgesEbb() {
		if !errors.Is(err, rueidis.ErrNoCache) {
			t.Fatalf("a client with a cache: %v", err)
		}
		return
	}
	ok(t, err)
	c.Close()
}
