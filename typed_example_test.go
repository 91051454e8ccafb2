package ebb_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ebbdb/ebb"
	"github.com/ebbdb/ebb/codec"
)

// A keyspace of users by number.
func ExampleNewTyped() {
	type user struct{ Name, Mail string }
	db := openMemory(nil)
	defer db.Close()

	users := ebb.NewTyped(db, []byte("user/"), codec.Uint64(), codec.JSON[user]())
	must(users.Put(7, user{"Alice", "alice@example.org"}))
	must(users.Put(12, user{"Bob", "bob@example.org"}))

	alice, err := users.Get(7)
	fmt.Println(alice.Mail, err)
	_, err = users.Get(8)
	fmt.Println(err)
	for entry, err := range users.Range(users.From(10)) {
		must(err)
		fmt.Println(entry.Key, entry.Value.Name)
	}
	// Output:
	// alice@example.org <nil>
	// ebb: not found
	// 12 Bob
}

// A keyspace whose keys live for an hour if nothing else is said, and which goes as a whole at the cost of one record.
func ExampleDefaultTTL() {
	db := openMemory(nil)
	defer db.Close()
	codes := ebb.NewTyped(db, []byte("code/"), codec.String(), codec.String(), ebb.DefaultTTL(time.Hour))
	must(codes.Put("ann", "1234"))
	must(codes.Put("bob", "5678", ebb.TTL(time.Minute)))
	must(codes.Put("root", "9999", ebb.TTL(0))) // no deadline
	for _, name := range []string{"ann", "bob", "root"} {
		left, err := codes.TTL(name)
		fmt.Println(name, left.Round(time.Minute), err)
	}
	must(codes.DeleteRange(nil))
	n, err := codes.Count(nil)
	fmt.Println(n, err)
	// Output:
	// ann 1h0m0s <nil>
	// bob 1m0s <nil>
	// root 0s <nil>
	// 0 <nil>
}

// A cache: a key that is absent is loaded, once for all who ask at a time.
func ExampleTyped_GetOrLoad() {
	ctx := context.Background()
	db := openMemory(nil)
	defer db.Close()
	weather := ebb.NewTyped(db, []byte("weather/"), codec.String(), codec.Int64())
	load := func(ctx context.Context, city string) (int64, error) {
		fmt.Println("loading", city)
		return int64(10 + len(city)), nil
	}
	for range 2 {
		// For an hour, or up to a tenth less; and for another minute while it is loaded anew.
		degrees, err := weather.GetOrLoad(ctx, "Oslo", time.Hour, load, ebb.LoadJitter(0.1), ebb.LoadStale(time.Minute))
		fmt.Println(degrees, err)
	}
	must(weather.Delete("Oslo")) // what it stands for has changed
	degrees, err := weather.GetOrLoad(ctx, "Oslo", time.Hour, load)
	fmt.Println(degrees, err)
	// Output:
	// loading Oslo
	// 14 <nil>
	// 14 <nil>
	// loading Oslo
	// 14 <nil>
}

// That there is no value is remembered, too, until somebody puts or deletes the key.
func ExampleLoadNegative() {
	ctx := context.Background()
	db := openMemory(nil)
	defer db.Close()
	weather := ebb.NewTyped(db, []byte("weather/"), codec.String(), codec.Int64())
	load := func(ctx context.Context, city string) (int64, error) {
		fmt.Println("loading", city)
		return 0, fmt.Errorf("%s: %w", city, ebb.ErrNotFound)
	}
	for range 2 {
		_, err := weather.GetOrLoad(ctx, "Atlantis", time.Hour, load, ebb.LoadNegative(time.Minute))
		fmt.Println(err, errors.Is(err, ebb.ErrNotFound))
	}
	must(weather.Delete("Atlantis")) // it was found
	_, err := weather.GetOrLoad(ctx, "Atlantis", time.Hour, load, ebb.LoadNegative(time.Minute))
	fmt.Println(err)
	// Output:
	// loading Atlantis
	// Atlantis: ebb: not found true
	// Atlantis: ebb: not found true
	// loading Atlantis
	// Atlantis: ebb: not found
}

// Many keys at once, and the last one.
func ExampleTypedView_GetMany() {
	db, done := openTemp(nil)
	defer done()
	stock := ebb.NewTyped(db, []byte("stock/"), codec.String(), codec.Int64())
	must(stock.Put("apples", 3))
	must(stock.Put("pears", 0))

	names := []string{"apples", "bananas", "pears"}
	counts, present, err := stock.GetMany(names...)
	must(err)
	for i, name := range names {
		fmt.Println(name, counts[i], present[i])
	}
	last, err := stock.Last(nil)
	fmt.Println("last:", last.Key, err)
	// Output:
	// apples 3 true
	// bananas 0 false
	// pears 0 true
	// last: pears <nil>
}

// How many there are: exactly, at least so many, and about how many and how large, which reads none of them.
func ExampleTypedView_Count() {
	db := openMemory(nil)
	defer db.Close()
	stock := ebb.NewTyped(db, []byte("stock/"), codec.Uint64(), codec.Int64())
	for n := range uint64(1000) {
		must(stock.Put(n, 0))
	}
	n, err := stock.Count(stock.From(900))
	fmt.Println(n, err)
	many := stock.From(100)
	many.Limit = 10
	n, err = stock.Count(many) // reads no more than ten
	fmt.Println(n >= 10, err)
	n, err = stock.EstimateCount(nil)
	fmt.Println(n > 900 && n < 1100, err)
	size, err := stock.EstimateSize(nil) // of keys with their prefix, and values
	fmt.Println(size > 20_000 && size < 24_000, err)
	// Output:
	// 100 <nil>
	// true <nil>
	// true <nil>
	// true <nil>
}

// The orders of one customer, newest first: the pairs with that first part.
func ExampleTypedView_Range() {
	db := openMemory(nil)
	defer db.Close()

	keys := codec.PairOf(codec.String(), codec.Time())
	orders := ebb.NewTyped(db, []byte("order/"), keys, codec.String())
	for i, customer := range []string{"ann", "anna", "ann", "bo", "ann"} {
		at := noon.Add(time.Duration(i) * time.Hour)
		must(orders.Put(codec.MakePair(customer, at), fmt.Sprintf("order %d", i+1)))
	}

	ofAnn := orders.Within(keys.First("ann"))
	ofAnn.Reverse, ofAnn.Limit = true, 2
	for entry, err := range orders.Range(ofAnn) {
		must(err)
		fmt.Println(entry.Key.Second.Format("15:04"), entry.Value)
	}
	// Output:
	// 16:00 order 5
	// 14:00 order 3
}

// Typed reads of a snapshot show neither later writes nor the passing of time.
func ExampleTyped_At() {
	db := openMemory(nil)
	defer db.Close()
	stock := ebb.NewTyped(db, []byte("stock/"), codec.String(), codec.Int64())
	must(stock.Put("apples", 3))

	snapshot, err := db.Snapshot()
	must(err)
	defer snapshot.Close()
	must(stock.Put("apples", 2))

	before, err := stock.At(snapshot).Get("apples")
	must(err)
	now, err := stock.Get("apples")
	must(err)
	fmt.Println(before, now)
	// Output: 3 2
}

// A transfer between two accounts, all of it or nothing.
func ExampleTyped_In() {
	db := openMemory(nil)
	defer db.Close()
	accounts := ebb.NewTyped(db, []byte("account/"), codec.String(), codec.Int64())
	must(accounts.Put("alice", 100))

	transfer := func(from, to string, amount int64) error {
		return db.Update(func(tx *ebb.Txn) error {
			accounts := accounts.In(tx)
			source, err := accounts.Get(from)
			if err != nil {
				return err
			}
			if source < amount {
				return fmt.Errorf("%s has only %d", from, source)
			}
			target, err := accounts.Get(to)
			if err != nil && !errors.Is(err, ebb.ErrNotFound) {
				return err
			}
			return errors.Join(accounts.Put(from, source-amount), accounts.Put(to, target+amount))
		})
	}
	fmt.Println(transfer("alice", "bob", 70))
	fmt.Println(transfer("alice", "bob", 70))
	for account, err := range accounts.Range(nil) {
		must(err)
		fmt.Println(account.Key, account.Value)
	}
	// Output:
	// <nil>
	// alice has only 30
	// alice 30
	// bob 70
}

// A cart to which two requests add at a time loses neither.
func ExampleTyped_Update() {
	db := openMemory(nil)
	defer db.Close()
	carts := ebb.NewTyped(db, []byte("cart/"), codec.Uint64(), codec.JSON[[]string]())

	for _, item := range []string{"apples", "pears"} {
		must(carts.Update(7, func(cart []string, present bool) ([]string, error) {
			return append(cart, item), nil
		}, ebb.TTL(24*time.Hour)))
	}
	cart, err := carts.Get(7)
	fmt.Println(cart, err)
	// Output: [apples pears] <nil>
}

// Counters are values like others: Add counts, Put and Get set and read them.
func ExampleTyped_Add() {
	db := openMemory(nil)
	defer db.Close()
	visits := ebb.NewTyped(db, []byte("visits/"), codec.String(), codec.Counter())

	must(visits.Put("/", 40))
	n, err := visits.Add("/", 2)
	fmt.Println(n, err)
	_, err = visits.Add("/news", 1, ebb.TTL(time.Hour)) // counted for an hour from the first
	must(err)
	for page, err := range visits.Range(nil) {
		must(err)
		fmt.Println(page.Key, page.Value)
	}
	// Output:
	// 42 <nil>
	// / 42
	// /news 1
}

// What others write, as Go values: here until the order is paid.
func ExampleTyped_Watch() {
	db := openMemory(nil)
	defer db.Close()
	orders := ebb.NewTyped(db, []byte("order/"), codec.Uint64(), codec.String())
	changes := orders.Watch(context.Background(), nil) // what is written from here on

	must(orders.Put(7, "open"))
	must(db.Put([]byte("other"), nil))
	must(orders.Put(7, "paid"))
	for change, err := range changes {
		must(err)
		fmt.Println(change.Kind, change.Key, change.Value)
		if change.Value == "paid" {
			break
		}
	}
	// Output:
	// put 7 open
	// put 7 paid
}

// Two keyspaces share a batch: the order and the count of it are there together, or neither.
func ExampleTyped_Batch() {
	db := openMemory(nil)
	defer db.Close()
	orders := ebb.NewTyped(db, []byte("order/"), codec.Uint64(), codec.String())
	byName := ebb.NewTyped(db, []byte("by-name/"), codec.String(), codec.Uint64())

	var b ebb.Batch
	must(orders.Batch(&b).Put(7, "ann", ebb.IfAbsent))
	must(byName.Batch(&b).Put("ann", 7))
	must(db.Apply(&b))

	name, err := orders.Get(7)
	must(err)
	number, err := byName.Get("ann")
	must(err)
	fmt.Println(name, number)
	// Output: ann 7
}

// Users are found by their address, which no two of them share, and by their groups, of which each has several.
func ExampleIndexed() {
	db := openMemory(nil)
	defer db.Close()
	type user struct {
		Address string
		Groups  []string
	}
	plain := ebb.NewTyped(db, []byte("user/"), codec.Uint64(), codec.JSON[user]())
	byAddress := ebb.NewUniqueIndex(plain, []byte("user-by-address/"), codec.String(),
		func(_ uint64, u user) []string { return []string{u.Address} })
	byGroup := ebb.NewIndex(plain, []byte("user-by-group/"), codec.String(),
		func(_ uint64, u user) []string { return u.Groups })
	users, err := ebb.NewIndexed(plain, byAddress, byGroup)
	must(err)

	must(users.Put(1, user{"ann@x", []string{"admins", "staff"}}))
	must(users.Put(2, user{"bo@x", []string{"staff"}}, ebb.TTL(time.Hour))) // gone after an hour, in each index, too
	fmt.Println(users.Put(3, user{"ann@x", nil}))

	ann, err := byAddress.Get("ann@x")
	fmt.Println(ann.Key, ann.Value.Groups, err)
	for u, err := range byGroup.Range(byGroup.Only("staff")) {
		must(err)
		fmt.Println(u.IndexKey, u.Key, u.Value.Address)
	}
	must(users.Delete(1))
	_, err = byAddress.Get("ann@x")
	fmt.Println(err)
	// Output:
	// ebb: not unique: index "user-by-address/", key "ann@x"
	// 1 [admins staff] <nil>
	// staff 1 ann@x
	// staff 2 bo@x
	// ebb: not found
}
