namespace NeuronQuant.Evaluation;

/// <summary>The words and kinds of the demo task's problems.</summary>
/// <remarks>
/// The model that learns this has some three million weights, so the arithmetic is what such a model can learn: sums and differences of
/// numbers up to about 200, products of a digit and a number up to 12, divisions that undo them, each written out. The difficulty that is
/// left is reading: who has what, which numbers belong together, in which order. Every kind can be asked in two ways.
/// </remarks>
internal static class DemoTemplates
{
    public static readonly string[] People =
    [
        "Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Ida", "Jack", "Kate", "Leo", "Mia", "Noah", "Olga", "Paul",
        "Rosa", "Sam", "Tina", "Victor", "Wendy", "Zoe", "Adam", "Bella", "Carl", "Dora", "Eric", "Fiona", "George", "Hanna", "Ivan", "Julia",
    ];

    public static readonly string[] Things =
    [
        "apples", "pens", "cards", "books", "shells", "stones", "stamps", "coins", "marbles", "cookies", "pears", "plums", "eggs", "cups",
        "balls", "beads", "flowers", "nuts", "tickets", "toys", "stickers", "buttons", "lemons", "candles", "keys", "leaves",
    ];

    public static readonly DemoTemplate[] All =
    [
        new("gain", r => Sum(r.Between(2, 60), r.Between(2, 60)),
            ["{A} has {0} {o}. {B} gives {A} {1} more {o}. How many {o} does {A} have now?",
             "There are {0} {o} in the bag of {A}. {A} finds {1} more {o}. How many {o} does {A} have in all?"],
            "{A} has {0} + {1} = {2} {o}."),
        new("loss", r => Difference(r, 10, 90),
            ["{A} has {0} {o} and gives {1} of them to {B}. How many {o} does {A} have left?",
             "{A} had {0} {o} this morning. Since then {A} has lost {1} {o}. How many {o} are left?"],
            "{A} has {0} - {1} = {2} {o} left."),
        new("groups", r => Product(r),
            ["{A} buys {0} boxes. There are {1} {o} in each box. How many {o} does {A} buy?",
             "On the table of {A} there are {0} rows with {1} {o} in each row. How many {o} are on the table?"],
            "There are {0} * {1} = {2} {o}."),
        new("share", r => Quotient(r),
            ["{A} puts {0} {o} into {1} bags. Each bag gets the same number of {o}. How many {o} are in each bag?",
             "{A} shares {0} {o} equally among {1} friends. How many {o} does each friend get?"],
            "Each gets {0} / {1} = {2} {o}."),
        new("gain and loss", r => Then(Sum(r.Between(10, 60), r.Between(2, 60)), '-', r),
            ["{A} has {0} {o}. {B} gives {A} {1} more {o}, and then {A} loses {3} of them. How many {o} does {A} have now?",
             "{A} found {0} {o} on Monday and {1} {o} on Tuesday, and gave {3} of them to {B}. How many {o} does {A} still have?"],
            "First {A} has {0} + {1} = {2} {o}. Then {A} has {2} - {3} = {4} {o}."),
        new("more together", r => Again(Sum(r.Between(2, 60), r.Between(2, 40))),
            ["{A} has {0} {o}. {B} has {1} more {o} than {A}. How many {o} do they have together?",
             "{B} has {1} {o} more than {A}, who has {0} {o}. How many {o} do the two have in all?"],
            "{B} has {0} + {1} = {2} {o}. Together they have {0} + {2} = {3} {o}."),
        new("fewer together", r => Again(Difference(r, 10, 60)),
            ["{A} has {0} {o}. {B} has {1} fewer {o} than {A}. How many {o} do they have together?",
             "{B} has {1} {o} less than {A}, who has {0} {o}. How many {o} do the two have in all?"],
            "{B} has {0} - {1} = {2} {o}. Together they have {0} + {2} = {3} {o}."),
        new("boxes and more", r => Then(Product(r), '+', r),
            ["{A} buys {0} boxes with {1} {o} in each. {A} already had {3} {o} at home. How many {o} does {A} have now?",
             "{A} has {3} {o} and gets {0} bags from {B}. There are {1} {o} in each bag. How many {o} does {A} have in all?"],
            "{A} gets {0} * {1} = {2} {o}. In all {A} has {2} + {3} = {4} {o}."),
        new("boxes and less", r => Then(Product(r), '-', r),
            ["{A} buys {0} boxes with {1} {o} in each and gives {3} {o} to {B}. How many {o} does {A} keep?",
             "There were {0} rows of {1} {o} in the shop of {A}. Today {3} {o} were sold. How many {o} are left?"],
            "There are {0} * {1} = {2} {o}. Then {2} - {3} = {4} {o} are left."),
        new("join and share", JoinAndShare,
            ["{A} has {0} {o} and {B} has {1} {o}. They put them together and share them equally among {3} children. How many {o} does each child get?",
             "{A} collects {0} {o} and later {1} more {o}. {A} puts all of them into {3} equal piles. How many {o} are in each pile?"],
            "Together there are {0} + {1} = {2} {o}. Each gets {2} / {3} = {4} {o}."),
        new("three people", r => Then(Sum(r.Between(2, 50), r.Between(2, 50)), '+', r),
            ["{A} has {0} {o}, {B} has {1} {o} and {C} has {3} {o}. How many {o} do the three have together?",
             "{A} picks {0} {o}. {B} picks {1} {o}, and {C} picks {3} {o}. How many {o} do they pick in all?"],
            "{A} and {B} have {0} + {1} = {2} {o}. With {C} they have {2} + {3} = {4} {o}."),
        new("times as many", r => MoreThan(Product(r)),
            ["{A} has {1} {o}. {B} has {0} times as many {o} as {A}. How many more {o} does {B} have than {A}?",
             "{B} has {0} times as many {o} as {A}, and {A} has {1} {o}. How many {o} does {A} have less than {B}?"],
            "{B} has {0} * {1} = {2} {o}. The difference is {2} - {1} = {3} {o}."),
        new("change", r => From(Product(r), r),
            ["{A} has {3} dollars and buys {0} {o} for {1} dollars each. How many dollars does {A} have left?",
             "One of the {o} costs {1} dollars. {A} pays for {0} of them with {3} dollars. How many dollars does {A} get back?"],
            "The {o} cost {0} * {1} = {2} dollars. {A} has {3} - {2} = {4} dollars left."),
        new("two a day", r => TwoADay(r),
            ["Each day {A} makes {0} {o} in the morning and {1} {o} in the evening. How many {o} does {A} make in {3} days?",
             "{A} sells {0} {o} and {B} sells {1} {o} every day. How many {o} do they sell together in {3} days?"],
            "In a day it is {0} + {1} = {2} {o}. In {3} days it is {2} * {3} = {4} {o}."),
        new("share and lose", r => ShareAndLose(r),
            ["{A} and some friends share {0} {o} equally. They are {1} people. {A} then gives {3} {o} to {B}. How many {o} does {A} have?",
             "{A} puts {0} {o} into {1} equal bags and takes {3} {o} out of the first bag. How many {o} are left in the first bag?"],
            "Each gets {0} / {1} = {2} {o}. Then {2} - {3} = {4} {o} are left."),
        new("two prices", r => TwoPrices(r),
            ["{A} buys {0} {o} for {1} dollars each and {3} hats for {4} dollars each. How many dollars does {A} pay?",
             "At the market {A} takes {0} {o} and {3} hats. The {o} cost {1} dollars each, the hats {4} dollars each. How many dollars is that?"],
            "The {o} cost {0} * {1} = {2} dollars. The hats cost {3} * {4} = {5} dollars. Together it is {2} + {5} = {6} dollars."),
        new("buy and give", r => Then(Then(Product(r), '+', r), '-', r),
            ["{A} has {3} {o}. {A} buys {0} boxes with {1} {o} in each and gives {5} {o} to {B}. How many {o} does {A} have now?",
             "{A} gets {0} bags of {1} {o} from {B}, adds {3} {o} and sells {5} of all these {o}. How many {o} does {A} have left?"],
            "The {o} are {0} * {1} = {2}. With the others they are {2} + {3} = {4}. Then {4} - {5} = {6} {o} are left."),
        new("two prices and change", r => From(TwoPrices(r), r),
            ["{A} has {7} dollars. {A} buys {0} {o} for {1} dollars each and {3} hats for {4} dollars each. How many dollars are left?",
             "{A} buys {0} {o} at {1} dollars and {3} hats at {4} dollars and pays with {7} dollars. How many dollars does {A} get back?"],
            "The {o} cost {0} * {1} = {2} dollars. The hats cost {3} * {4} = {5} dollars. It is {2} + {5} = {6} dollars. "
            + "Then {7} - {6} = {8} are left."),
    ];

    private static int[] Sum(int a, int b) => [a, b, a + b];

    private static int[] Difference(DemoRandom random, int least, int most)
    {
        int a = random.Between(least, most), b = random.Between(2, a - 2);
        return [a, b, a - b];
    }

    private static int[] Product(DemoRandom random)
    {
        int a = random.Between(2, 9), b = random.Between(2, 12);
        return [a, b, a * b];
    }

    private static int[] Quotient(DemoRandom random)
    {
        int parts = random.Between(2, 9), each = random.Between(2, 12);
        return [parts * each, parts, each];
    }

    // One more number, added to the last result or taken from it.
    private static int[] Then(int[] numbers, char sign, DemoRandom random)
    {
        int last = numbers[^1], next = sign == '+' ? random.Between(2, 60) : random.Between(2, Math.Min(60, last - 2));
        return [.. numbers, next, sign == '+' ? last + next : last - next];
    }

    // The first number and the last result together.
    private static int[] Again(int[] numbers) => [.. numbers, numbers[0] + numbers[^1]];

    private static int[] MoreThan(int[] product) => [.. product, product[2] - product[1]];

    // A larger number from which the last result is taken.
    private static int[] From(int[] numbers, DemoRandom random)
    {
        int rest = random.Between(2, 60);
        return [.. numbers, numbers[^1] + rest, rest];
    }

    private static int[] JoinAndShare(DemoRandom random)
    {
        int parts = random.Between(2, 9), each = random.Between(3, 12);
        int first = random.Between(2, (parts * each) - 2);
        return [first, (parts * each) - first, parts * each, parts, each];
    }

    private static int[] TwoADay(DemoRandom random)
    {
        int a = random.Between(2, 9), b = random.Between(2, 9), days = random.Between(2, 9);
        return [a, b, a + b, days, (a + b) * days];
    }

    private static int[] ShareAndLose(DemoRandom random)
    {
        int parts = random.Between(2, 9), each = random.Between(4, 12), lost = random.Between(2, each - 2);
        return [parts * each, parts, each, lost, each - lost];
    }

    private static int[] TwoPrices(DemoRandom random)
    {
        int[] first = Product(random), second = Product(random);
        return [.. first, .. second, first[2] + second[2]];
    }
}
