package scheduler

// nodeHeap keeps nodes with equal tuples and equally many parts of their score, the best
// first: among them the order by their own parts is the order by their whole score.
type nodeHeap struct {
	order []int32
}

// less says that node i goes before node j.
func (r *ranking) less(i, j int32) bool {
	a, b := &r.nodes[i], &r.nodes[j]
	return a.sum > b.sum || a.sum == b.sum && a.hash > b.hash
}

// insert puts a node into the heap it belongs to.
func (r *ranking) insert(i int32) {
	c := &r.nodes[i]
	key := heapKey{tuple: c.tuple, parts: c.parts}
	id, ok := r.heapIDs[key]
	if !ok {
		id = int32(len(r.heaps))
		r.heapIDs[key] = id
		r.heaps = append(r.heaps, nodeHeap{})
	}
	h := &r.heaps[id]
	c.heap, c.at = id, int32(len(h.order))
	h.order = append(h.order, i)
	r.up(h, int(c.at))
}

// remove takes a node out of its heap, if it is in one.
func (r *ranking) remove(i int32) {
	c := &r.nodes[i]
	if c.heap < 0 {
		return
	}
	h := &r.heaps[c.heap]
	at, last := int(c.at), len(h.order)-1
	r.move(h, at, h.order[last])
	h.order = h.order[:last]
	c.heap = -1
	if at < last {
		r.down(h, at)
		r.up(h, at)
	}
}

func (r *ranking) move(h *nodeHeap, at int, i int32) {
	h.order[at] = i
	r.nodes[i].at = int32(at)
}

func (r *ranking) up(h *nodeHeap, at int) {
	i := h.order[at]
	for at > 0 {
		parent := (at - 1) / 2
		if !r.less(i, h.order[parent]) {
			break
		}
		r.move(h, at, h.order[parent])
		at = parent
	}
	r.move(h, at, i)
}

func (r *ranking) down(h *nodeHeap, at int) {
	i := h.order[at]
	for {
		child := 2*at + 1
		if child >= len(h.order) {
			break
		}
		if child+1 < len(h.order) && r.less(h.order[child+1], h.order[child]) {
			child++
		}
		if !r.less(h.order[child], i) {
			break
		}
		r.move(h, at, h.order[child])
		at = child
	}
	r.move(h, at, i)
}

// best returns up to n nodes of a heap, the best first, without changing it. Only children of
// nodes that are taken can be next, so it looks at few.
func (r *ranking) best(h *nodeHeap, n int) []int32 {
	var taken []int32
	var frontier []int
	if len(h.order) > 0 {
		frontier = append(frontier, 0)
	}
	for len(taken) < n && len(frontier) > 0 {
		pick := 0
		for k := range frontier {
			if r.less(h.order[frontier[k]], h.order[frontier[pick]]) {
				pick = k
			}
		}
		at := frontier[pick]
		taken = append(taken, h.order[at])
		frontier[pick] = frontier[len(frontier)-1]
		frontier = frontier[:len(frontier)-1]
		for child := 2*at + 1; child <= 2*at+2 && child < len(h.order); child++ {
			frontier = append(frontier, child)
		}
	}
	return taken
}
