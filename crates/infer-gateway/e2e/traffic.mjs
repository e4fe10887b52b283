// Sends calls of many kinds for a while, so that the dashboard has something to show: `node traffic.mjs FACTS SECONDS`.

const facts = JSON.parse(process.argv[2]);
const seconds = Number(process.argv[3]);
const keys = [facts.key, facts.key, facts.narrow, facts.slow];
const models = ['fast', 'fast', 'fast', 'gpt-4o', 'reliable', 'gpt-5-mini', 'local/llama-3.3-70b', 'local/sim-error-429', 'local/qwen3-32b'];
const questions = ['Name three moons of Jupiter.', 'Summarise the minutes in one line.', 'Translate "good morning" into Finnish.', 'Which of these is the odd one out?'];

let sent = 0;
async function call() {
  const nth = sent++;
  const stream = nth % 5 !== 0;
  const response = await fetch(`${facts.gateway}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${keys[nth % keys.length]}`, 'content-type': 'application/json' },
    body: JSON.stringify({ model: models[(nth * 7) % models.length], stream, messages: [{ role: 'user', content: questions[nth % 4].repeat(1 + (nth % 7) * 20) }] }),
  });
  await response.text();
}

const end = Date.now() + seconds * 1000;
const callers = Array.from({ length: 4 }, async () => {
  while (Date.now() < end) {
    await call();
    await new Promise((resume) => setTimeout(resume, 60 + 240 * Math.abs(Math.sin(Date.now() / 3000))));
  }
});
await Promise.all(callers);
console.log(`${sent} calls sent in ${seconds} s`);
